"""A commit that failed may be durable: the batch is tried again, and what it committed is published once."""

from __future__ import annotations

import sys

import pytest

from tests.acceptance.corpus import make_corpus
from tests.acceptance.stage import PARTITIONS, Stage

pytestmark = pytest.mark.timeout(120)


def test_what_a_failed_commit_made_durable_is_published_without_a_restart(stage: Stage) -> None:
    stage.create_topics()
    worker = stage.start([sys.executable, "-m", "tests.acceptance.doubtful_commit", "run"])
    worker.wait_until(lambda: bool(worker.events("recovered")), "the receipt read", 60)
    stage.produce(make_corpus(1_000, PARTITIONS).messages)
    stage.finish(worker)
    assert worker.events("batch failed, retrying")
    stage.require_as_expected()
