"""Where reading starts is settled before anything is read, and by one worker at a time."""

from __future__ import annotations

import sys

import pytest

from tests.acceptance.corpus import make_corpus
from tests.acceptance.stage import PARTITIONS, Stage

pytestmark = pytest.mark.timeout(180)
REFUSED = 70
SLOW_SEEK = [sys.executable, "-m", "tests.acceptance.slow_seek", "run"]


def test_nothing_is_taken_before_the_positions_are_set(stage: Stage) -> None:
    stage.create_topics()
    stage.produce(make_corpus(500, PARTITIONS, troubles=False).messages)
    stage.run_to_the_end_of_the_topics()
    before = stage.store()
    stage.produce(make_corpus(500, PARTITIONS, seed=2, troubles=False).messages)
    stage.reset_group("--to-latest")
    stage.produce(make_corpus(500, PARTITIONS, seed=3, troubles=False).messages)
    worker = stage.start(SLOW_SEEK)
    assert worker.wait() == REFUSED, worker.tail()
    assert stage.store() == before, "it took records from where the group was, not the store"


def test_a_backlog_of_signups_is_read_before_any_cancellation(stage: Stage) -> None:
    stage.create_topics()
    stage.produce(make_corpus(4_000, PARTITIONS, troubles=False).messages)
    worker = stage.run_to_the_end_of_the_topics(BATCH__MAX_RECORDS="1000")
    assert worker.events("reading the backlog of signups before any cancellation")
    batches = worker.events("batch applied")
    never_signed_up = len(stage.expected().parked)
    assert sum(int(str(batch["parked"])) for batch in batches) == never_signed_up
    stage.require_as_expected()


def test_a_second_worker_gets_nothing_and_says_so_and_the_first_goes_on(stage: Stage) -> None:
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
