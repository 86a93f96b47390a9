"""Many workers in one group on one PostgreSQL: whatever becomes of them and of it, the contract's word is kept."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.acceptance.comparison import require_as_expected
from tests.acceptance.corpus import make_corpus
from tests.acceptance.operating import answer
from tests.acceptance.stage import PARTITIONS, Stage
from tests.acceptance.store_reader import read_postgres
from tests.acceptance.worker_process import WorkerProcess, module_command, run_to_the_end
from tests.postgres.server import Postgres, fresh_schema, running_postgres

pytestmark = pytest.mark.timeout(280)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as running:
        yield running


@pytest.fixture
def url(stage: Stage, postgres: Postgres) -> str:
    """The store's address, which the stage's workers have."""
    stage.settings["STORE__URL"] = fresh_schema(postgres)
    return stage.settings["STORE__URL"]


def start_three(stage: Stage) -> list[WorkerProcess]:
    """Three workers that have joined the group."""
    workers = [stage.start(BATCH__MAX_RECORDS="200") for _ in range(3)]
    for worker in workers:
        worker.wait_until(lambda at=worker: bool(at.events("started")), "started")  # type: ignore[misc]
    workers[0].wait_until(lambda: stage.members() == len(workers), "three members in a group at rest")
    return workers


def wait_for_batches(*workers: WorkerProcess, count: int = 1) -> None:
    for worker in workers:
        worker.wait_until(lambda at=worker: len(at.events("batch applied")) >= count, f"{count} batches")  # type: ignore[misc]


def finish(stage: Stage, url: str, *workers: WorkerProcess) -> None:
    """Let the workers take all there is and publish it; then everything is as the oracle has it."""
    stage.wait_until_consumed(workers[0])
    stage.wait_until_published(workers[0])
    for worker in workers:
        worker.terminate()
    assert [worker.wait() for worker in workers] == [0] * len(workers)
    require_as_expected(stage.expected(), stage.published(), read_postgres(url), stage.topics)


def test_three_workers_of_which_one_is_killed_and_one_frozen_lose_and_repeat_nothing(stage: Stage, url: str) -> None:
    corpus = make_corpus(20_000, PARTITIONS)
    stage.create_topics()
    stage.produce(corpus.early)
    killed, frozen, well = start_three(stage)
    stage.produce(corpus.signups)
    stage.produce(corpus.cancellations)
    wait_for_batches(killed, frozen, well, count=3)
    killed.kill()
    frozen.freeze()
    applied = len(well.events("batch applied"))
    well.wait_until(lambda: len(well.events("batch applied")) > applied + 3, "the others' partitions taken over")
    frozen.thaw()
    finish(stage, url, well, frozen)


def test_postgresql_restarted_and_connections_ended_in_their_commits(
    stage: Stage, url: str, postgres: Postgres
) -> None:
    corpus = make_corpus(20_000, PARTITIONS, seed=7)
    stage.create_topics()
    stage.produce(corpus.early)
    workers = start_three(stage)
    stage.produce(corpus.signups)
    stage.produce(corpus.cancellations)
    ended = 0
    while ended < 10:
        ended += end_connections(url)
        workers[0].require_running()
    postgres.restart()
    finish(stage, url, *workers)


def test_a_claim_that_comes_late_does_not_keep_partitions_from_the_worker_who_has_them(stage: Stage, url: str) -> None:
    corpus = make_corpus(2_000, PARTITIONS, seed=3)
    stage.create_topics()
    stage.produce(corpus.early)
    stage.produce(corpus.signups)
    worker = stage.start()
    stage.wait_until_consumed(worker)
    with psycopg.connect(url) as late:  # as one does who is gone by the time that it is carried out
        late.execute("UPDATE positions SET owner_epoch = owner_epoch + 1")
    stage.produce(corpus.cancellations)
    finish(stage, url, worker)


def end_connections(url: str) -> int:
    """End every session that is in a transaction of a worker; how many."""
    with psycopg.connect(url, autocommit=True) as admin:
        query = """
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE application_name = 'customer-worker' AND xact_start IS NOT NULL
        """
        return int(admin.execute(query).fetchall()[0][0])


def test_a_worker_moved_up_from_duckdb_goes_on_without_repeating_an_event(stage: Stage, postgres: Postgres) -> None:
    corpus = make_corpus(4_000, PARTITIONS, seed=11)
    stage.create_topics()
    stage.produce(corpus.early)
    stage.produce(corpus.signups)
    stage.run_to_the_end_of_the_topics()
    target = fresh_schema(postgres)
    command = module_command("store", "copy", "duckdb:///customers.duckdb", target)
    code, said = run_to_the_end(command, stage.settings, stage.directory)
    assert code == 0, said
    code, said = run_to_the_end(command, stage.settings, stage.directory)
    assert (code, "is not empty" in said) == (69, True), said
    stage.settings["STORE__URL"] = target
    stage.produce(corpus.cancellations)
    finish(stage, target, stage.start())
    code, said = run_to_the_end(module_command("status"), stage.settings, stage.directory)
    assert code == 0, said


def test_ops_ask_and_redrive_beside_the_workers(stage: Stage, url: str) -> None:
    corpus = make_corpus(2_000, PARTITIONS, seed=5)
    stage.create_topics()
    stage.produce(corpus.messages)
    workers = [stage.start(), stage.start()]
    stage.wait_until_consumed(workers[0])
    stage.wait_until_published(workers[0])
    wanted = stage.expected()
    workers[0].wait_until(lambda: answer(stage, "status")["store"]["pending"] == 0, "everything marked as published")
    assert answer(stage, "status")["store"]["customers"] == len(wanted.customers)
    assert answer(stage, "reconcile")["total"]["topic"]["count"] == len(wanted.events)
    assert answer(stage, "parked", "list")["totals"]["records"] == len(wanted.parked)
    letters = answer(stage, "dead-letters", "list", "--limit", "1000")["letters"]
    assert len(letters) == len(wanted.dead_letters)
    told = answer(stage, "explain", next(iter(wanted.events)))
    assert stage.topics.churned in str(told), "where the event is on its topic"
    answer(stage, "dead-letters", "redrive", "--reason", "already_churned", "--execute")
    stage.produce([])  # what is on the topics is to be read anew: the redriven records, too
    finish(stage, url, *workers)
