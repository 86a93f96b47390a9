"""Records that trickle in while a batch is being applied are one batch, so that none waits for all those before it."""

from __future__ import annotations

import sys

import pytest

from tests.acceptance.corpus import make_corpus
from tests.acceptance.slow_store import RECORDS_MEANWHILE
from tests.acceptance.stage import PARTITIONS, Stage

pytestmark = pytest.mark.timeout(120)
FIRST, MEANWHILE = 1, 300


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
