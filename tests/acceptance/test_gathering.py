"""Records that trickle in while a batch is being applied are one batch, so that none waits for all those before it."""

from __future__ import annotations

import sys

import pytest

from tests.acceptance.slow_store import RECORDS_MEANWHILE
from tests.support.corpus import make_corpus
from tests.support.stage import PARTITIONS, Stage

pytestmark = pytest.mark.timeout(120)
FIRST, MEANWHILE = 1, 300
MOST = 50


def test_what_comes_while_a_batch_is_applied_is_the_next_batch(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RECORDS_MEANWHILE, str(MEANWHILE))
    messages = make_corpus(1_000, PARTITIONS).signups[: FIRST + MEANWHILE]
    stage.create_topics()
    worker = stage.start([sys.executable, "-m", "tests.acceptance.slow_store", "run"])
    worker.wait_until(lambda: bool(worker.events("recovered")), "the receipt read", 60)
    stage.produce(messages[:FIRST])
    for begin in range(FIRST, len(messages), MEANWHILE // 5):
        stage.produce(messages[begin : begin + MEANWHILE // 5])
    stage.finish(worker)
    assert [event["records"] for event in worker.events("batch applied")] == [FIRST, MEANWHILE]
    stage.require_as_expected()


def test_no_batch_has_more_records_than_are_allowed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RECORDS_MEANWHILE, str(MOST - 1))
    messages = make_corpus(1_000, PARTITIONS).signups[:300]
    stage.create_topics()
    command = [sys.executable, "-m", "tests.acceptance.slow_store", "run"]
    worker = stage.start(command, BATCH__MAX_RECORDS=str(MOST))
    worker.wait_until(lambda: bool(worker.events("recovered")), "the receipt read", 60)
    for begin in range(0, len(messages), 20):
        stage.produce(messages[begin : begin + 20])
    stage.finish(worker)
    assert all(batch["records"] in range(MOST + 1) for batch in worker.events("batch applied"))
    stage.require_as_expected()
