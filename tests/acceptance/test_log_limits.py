"""A Kafka that is away for long is an event of the log, each attempt to reach it is not."""

import time

import pytest

from tests.support.corpus import make_corpus
from tests.support.kafka.cluster import wait_until_ready
from tests.support.stage import Stage

pytestmark = pytest.mark.timeout(180)
AWAY_S = 6.0
FEW_LINES = 20


def test_absent_kafka_is_logged_once_and_its_return_once(mortal_stage: Stage) -> None:
    stage, [node] = mortal_stage, mortal_stage.kafka.nodes
    stage.create_topics(2)
    worker = stage.start()
    stage.produce(make_corpus(20, 2, troubles=False).messages)
    stage.wait_until_consumed(worker)
    before = len(worker.said().splitlines())
    node.kill()
    away_until = time.monotonic() + AWAY_S
    try:
        worker.wait_until(lambda: time.monotonic() > away_until, "so long without Kafka")
        written = worker.said().splitlines()[before:]
    finally:
        node.restart()
    assert len(written) < FEW_LINES, "\n".join(written)
    assert len(worker.events("Kafka connection lost")) == 1
    assert any("Unable connect to node" in line for line in written), "the first of its kind is hidden"
    wait_until_ready(stage.kafka.bootstrap_servers)
    worker.wait_until(lambda: bool(worker.events("Kafka connection restored")), "connected again")
    [restored] = worker.events("Kafka connection restored")
    assert isinstance(restored["suppressed"], int)
    assert restored["suppressed"] > FEW_LINES
    assert "never retrieved" not in worker.said()
    stage.finish(worker)
