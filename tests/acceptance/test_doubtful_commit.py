"""A commit that failed may be durable: the batch is tried again, and what it committed is published once."""

from __future__ import annotations

import sys

import pytest

from tests.support.corpus import make_corpus
from tests.support.stage import PARTITIONS, Stage

pytestmark = pytest.mark.timeout(120)


def test_durable_outbox_of_a_failed_commit_is_published(stage: Stage) -> None:
    stage.create_topics()
    worker = stage.start([sys.executable, "-m", "tests.acceptance.doubtful_commit", "run"])
    worker.wait_until(lambda: bool(worker.events("recovered")), "the receipt read", 60)
    stage.produce(make_corpus(1_000, PARTITIONS).messages)
    stage.finish(worker)
    assert worker.events("batch failed, retrying")
    stage.require_as_expected()
