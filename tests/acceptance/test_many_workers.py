"""Many workers of one group on one PostgreSQL, with kills, restarts and migrations: exactly once."""

import sys
from socket import gethostname

import psycopg
import pytest

from tests.newer import NEXT, TODAY
from tests.support.corpus import make_corpus
from tests.support.kafka.local import free_ports
from tests.support.many_workers import finish, start_three, wait_for_batches
from tests.support.operating import answer, said
from tests.support.postgres.server import Postgres, fresh_schema
from tests.support.stage import PARTITIONS, Stage
from tests.support.worker_process import module_command, run_to_the_end
from worker.errors import Exit

pytestmark = pytest.mark.timeout(280)


@pytest.mark.parametrize(("locks", "signups"), [("advisory", 20_000), ("rows", 8_000)])
def test_killed_and_frozen_workers_lose_and_repeat_nothing(stage: Stage, url: str, locks: str, signups: int) -> None:
    stage.settings["STORE__LOCKS"] = locks
    corpus = make_corpus(signups, PARTITIONS)
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


def test_restart_of_postgresql_loses_and_repeats_nothing(stage: Stage, url: str, postgres: Postgres) -> None:
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


def test_late_claim_does_not_block_the_partitions_owner(stage: Stage, url: str) -> None:
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


def test_worker_continues_after_duckdb_to_postgres(stage: Stage, postgres: Postgres) -> None:
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


def test_migration_stops_old_workers_and_new_ones_continue(stage: Stage, url: str) -> None:
    corpus = make_corpus(6_000, PARTITIONS, seed=13)
    stage.create_topics()
    stage.produce(corpus.early)
    old = [stage.start(BATCH__MAX_RECORDS="100") for _ in range(2)]
    for worker in old:
        worker.wait_until(lambda at=worker: bool(at.events("started")), "started")  # type: ignore[misc]
    stage.produce(corpus.signups)
    wait_for_batches(old[0], count=3)
    newer = [sys.executable, "-m", "tests.newer"]
    code, told = run_to_the_end([*newer, "migrate"], stage.settings, stage.directory)
    assert (code, f"migrated to version {NEXT}; it had {TODAY}" in told) == (0, True), told
    stage.produce(corpus.cancellations)
    for worker in old:  # the one that has nothing to do, too
        assert worker.wait() == Exit.SAFETY
        assert f"has version {NEXT}, this worker supports {TODAY}. Run the version that migrated it" in worker.tail()
    for command in ("status", "reconcile"):
        assert f"this worker supports {TODAY}" in said(stage, command, code=Exit.UNREACHABLE)
    finish(stage, url, stage.start([*newer, "run"]))


def test_status_and_redrive_run_beside_the_workers(stage: Stage, url: str) -> None:
    corpus = make_corpus(2_000, PARTITIONS, seed=5)
    stage.create_topics()
    stage.produce(corpus.messages)
    [port] = free_ports(1)
    workers = [stage.start(HTTP__ENABLED="true", HTTP__PORT=str(port)), stage.start()]
    stage.wait_until_consumed(workers[0])
    stage.wait_until_published(workers[0])
    wanted = stage.expected()
    workers[0].wait_until(lambda: answer(stage, "status")["store"]["pending"] == 0, "everything marked as published")
    assert answer(stage, "status")["store"]["customers"] == len(wanted.customers)
    told_of = answer(stage, "status", HTTP__ENABLED="true", HTTP__PORT=str(port))
    assert sum(member["partitions"] for member in told_of["inputs"]["workers"]) == 2 * PARTITIONS
    assert told_of["publishes"].split(",")[0] in [f"{gethostname()}/{worker.pid}" for worker in workers]
    assert told_of["worker"]["checks"], "of the one that was asked at its port"
    assert answer(stage, "status")["worker"] is None
    shown = said(stage, "status")
    assert "unknown, as CUSTOMER_WORKER_HTTP__ENABLED is false; see the members of the group" in shown
    assert "2 members: " in shown
    assert answer(stage, "reconcile")["total"]["topic"]["count"] == len(wanted.events)
    assert answer(stage, "parked", "list")["totals"]["records"] == len(wanted.parked)
    letters = answer(stage, "dead-letters", "list", "--limit", "1000")["letters"]
    assert len(letters) == len(wanted.dead_letters)
    told = answer(stage, "explain", next(iter(wanted.events)))
    assert stage.topics.churned in str(told), "where the event is on its topic"
    redriven = answer(stage, "dead-letters", "redrive", "--reason", "already_churned", "--execute")
    assert redriven["decided"], "it was not waited for"
    stage.produce([])  # what is on the topics is to be read anew: the redriven records, too
    finish(stage, url, *workers)
