"""Where reading starts is settled before anything is read, and by one worker at a time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.corpus import make_corpus
from tests.support.stage import PARTITIONS, Stage, copy_of_store

pytestmark = pytest.mark.timeout(180)
REFUSED = 70
SLOW_SEEK = [sys.executable, "-m", "tests.acceptance.slow_seek", "run"]


def test_nothing_is_taken_before_the_positions_are_set(stage: Stage) -> None:
    stage.create_topics()
    stage.produce(make_corpus(500, PARTITIONS, troubles=False).messages)
    stage.run_to_the_end_of_the_topics()
    before = stage.store()
    stage.produce(make_corpus(500, PARTITIONS, seed=2, troubles=False).messages)
    stage.move_group("end")
    stage.produce(make_corpus(500, PARTITIONS, seed=3, troubles=False).messages)
    worker = stage.start(SLOW_SEEK)
    assert worker.wait() == REFUSED, worker.tail()
    assert stage.store() == before, "it took records from where the group was, not the store"


def test_a_backlog_of_signups_is_read_before_any_cancellation(stage: Stage) -> None:
    stage.create_topics()
    stage.produce(make_corpus(4_000, PARTITIONS, troubles=False).messages)
    worker = stage.run_to_the_end_of_the_topics(BATCH__MAX_RECORDS="1000")
    assert worker.events("cancellations paused for signup backlog")
    batches = worker.events("batch applied")
    never_signed_up = len(stage.expected().parked)
    assert sum(int(str(batch["parked"])) for batch in batches) == never_signed_up
    stage.require_as_expected()


def test_second_worker_on_duckdb_is_assigned_nothing(stage: Stage) -> None:
    stage.create_topics()
    first = stage.start()
    stage.produce(make_corpus(500, PARTITIONS, troubles=False).messages)
    stage.wait_until_consumed(first)
    second = stage.start(STORE__URL="duckdb:///another.duckdb")
    assert second.wait() == REFUSED, second.tail()
    assert "another worker of the group" in second.said()
    stage.produce(make_corpus(500, PARTITIONS, seed=2, troubles=False).messages)
    stage.finish(first)
    stage.require_as_expected()


TOOK_OUT = "removed stale group member"


def test_next_worker_on_the_store_evicts_the_killed_member(stage: Stage) -> None:
    stage.create_topics()
    first = stage.start(LOG__FORMAT="json")
    stage.produce(make_corpus(500, PARTITIONS, troubles=False).messages)
    stage.wait_until_consumed(first)
    first.kill()
    second = stage.start(LOG__FORMAT="json")
    second.wait_until(lambda: bool(second.events(TOOK_OUT)), "took the dead one out")
    stage.produce(make_corpus(500, PARTITIONS, seed=2, troubles=False).messages)
    stage.finish(second)
    stage.require_as_expected()


def test_worker_on_a_copied_store_evicts_nobody(stage: Stage, tmp_path: Path) -> None:
    stage.create_topics()
    first = stage.start(LOG__FORMAT="json")
    stage.produce(make_corpus(500, PARTITIONS, troubles=False).messages)
    stage.wait_until_consumed(first)
    elsewhere = tmp_path / "copy"
    elsewhere.mkdir()
    copy_of_store(stage, elsewhere)
    second = stage.start(STORE__URL=f"duckdb:///{elsewhere}/customers.duckdb", LOG__FORMAT="json")
    assert second.wait() == REFUSED, second.tail()
    assert not second.events(TOOK_OUT), second.tail()
    stage.produce(make_corpus(500, PARTITIONS, seed=2, troubles=False).messages)
    stage.finish(first)
    stage.require_as_expected()
