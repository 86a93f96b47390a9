"""`replay` on PostgreSQL beside running workers: the dry run changes nothing, no event is lost or repeated."""

import json
import subprocess
import time
from typing import Any

import psycopg
import pytest

from tests.acceptance.test_replay import LEFT, REFUSED, bad_night, custom, events, left, numbers, people
from tests.support.comparison import require_as_expected
from tests.support.operating import answer, said
from tests.support.reader import read_committed
from tests.support.stage import Stage
from tests.support.store_reader import read_postgres
from tests.support.worker_process import WorkerProcess, environment, module_command

pytestmark = pytest.mark.timeout(240)
KEPT = ("customers", "decisions", "parked", "outbox", "receipts", "redrives", "discards", "positions", "relay")
REST_LIMIT_S = 60.0


def two_workers(stage: Stage, **settings: str) -> list[WorkerProcess]:
    """Two workers at rest, of whom one publishes."""
    workers = [stage.start(**settings) for _ in range(2)]
    for worker in workers:
        worker.wait_until(lambda at=worker: bool(at.events("started")), "started")  # type: ignore[misc]
    workers[0].wait_until(lambda: stage.members() == len(workers), "two members in a group at rest")
    workers[0].wait_until(lambda: relays(workers) == 1, "one of them publishes")
    return workers


def rows_at_rest(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row with its place, once the workers have claimed their partitions: two looks a second apart are equal."""
    rows = rows_with_their_places(url)
    deadline = time.monotonic() + REST_LIMIT_S
    while True:
        time.sleep(1.0)
        before, rows = rows, rows_with_their_places(url)
        if rows == before:
            return rows
        assert time.monotonic() < deadline, "the workers never come to rest"


def relays(workers: list[WorkerProcess]) -> int:
    """Return the number of recoveries of the workers: one each time a worker starts to publish."""
    return sum(len(worker.events("recovered")) for worker in workers)


def end(workers: list[WorkerProcess]) -> None:
    for worker in workers:
        worker.terminate()
    assert [worker.wait() for worker in workers] == [0] * len(workers)


def rows_with_their_places(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row, and where and by which transaction it was written."""
    with psycopg.connect(url) as db:
        return {table: db.execute(f"SELECT ctid, xmin, * FROM {table}".encode()).fetchall() for table in KEPT}


def test_replay_beside_workers_matches_its_dry_run(stage: Stage, url: str) -> None:
    who = bad_night(stage)
    workers = two_workers(stage)
    before = rows_at_rest(url)
    promised, some = answer(stage, "replay"), answer(stage, "replay", "--partition", "3")
    assert rows_with_their_places(url) == before
    assert (promised["customers_changed"], promised["events"], promised["unparked"]) == (
        REFUSED,
        LEFT,
        {"applied": LEFT},
    )

    done = answer(stage, "replay", "--partition", "3", "--execute")
    assert numbers(done) == numbers(some)
    assert 0 < done["events"] < LEFT
    assert (done["waiting_after"], len(events(stage))) == (0, done["events"])
    assert relays(workers) == 1, "the worker that publishes was disturbed"
    end(workers)

    promised = answer(stage, "replay")
    done = answer(stage, "replay", "--execute")
    assert numbers(done) == numbers(promised)
    assert done["waiting_after"] == 0
    assert events(stage) == dict.fromkeys(who[:LEFT], 1)
    assert "Nothing to do" in said(stage, "replay")


def test_replay_beside_workers_on_the_same_customers(stage: Stage, url: str) -> None:
    skipped, everybody = people(2_000), people(2_500)
    early, late = everybody[2_000:2_200], everybody[2_200:]
    stage.create_topics()
    stage.produce(custom(early) + left(early))
    stage.run_to_the_end_of_the_topics()
    stage.produce(custom(skipped))
    stage.move_group("end")  # a mistake, which a replay is to mend
    workers = two_workers(stage, SAFETY__ALLOW_SKIP_FORWARD="true", BATCH__MAX_RECORDS="50")
    stage.produce(custom(late))
    stage.wait_until_consumed(workers[0])
    assert len(read_postgres(url).customers) == len(everybody) - len(skipped)

    stage.produce(left(skipped[:1_000]))  # which are parked
    replaying = subprocess.Popen(
        module_command("replay", "--execute", "--json"),
        env=environment(stage.settings | {"BATCH__MAX_RECORDS": "50"}),
        cwd=stage.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while not read_committed(stage.kafka.bootstrap_servers, stage.topics.churned)[len(early) :]:
        assert replaying.poll() is None, replaying.communicate()
    stage.produce(left(skipped[1_000:]))
    out, err = replaying.communicate(timeout=60)
    assert replaying.returncode == 0, err
    report = json.loads(out)
    assert (report["outcomes"]["applied"], report["waiting_after"]) == (len(skipped), 0)

    stage.wait_until_consumed(workers[0])
    stage.wait_until_published(workers[0])
    assert relays(workers) == 1, "the worker that publishes was disturbed"
    end(workers)
    require_as_expected(stage.expected(), stage.published(), read_postgres(url), stage.topics)
