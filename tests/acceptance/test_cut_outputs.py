"""An output topic that lost records before their receipts were read: the operator decides, by a setting."""

from __future__ import annotations

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from tests.support.records import Message
from tests.support.stage import Stage

pytestmark = pytest.mark.timeout(180)
REFUSED, KILLED = 70, -9


@pytest.mark.parametrize(("decision", "sent_after_it"), [("resend", 3), ("published", 1)])
def test_events_in_doubt_on_a_cut_topic_follow_the_setting(stage: Stage, decision: str, sent_after_it: int) -> None:
    stage.create_topics()
    dead_letters = stage.topics.dead_letters[0]
    stage.produce([_bad(b"first"), _bad(b"second")])
    worker = stage.start(FAILPOINT="after-publish:1")
    assert worker.wait() == KILLED, worker.tail()
    assert len(stage.published()) == 2
    _cut(stage, dead_letters)

    refused = stage.start()
    assert refused.wait() == REFUSED, refused.tail()
    assert "CUSTOMER_WORKER_SAFETY__CUT_OUTPUTS" in refused.said()

    stage.produce([_bad(b"third")])
    worker = stage.start(SAFETY__CUT_OUTPUTS=decision)
    stage.wait_until_consumed(worker)
    worker.wait_until(lambda: any(record.key == b"third" for record in stage.published()), "published the third")
    assert worker.stop() == 0, worker.tail()
    assert len(stage.published()) == sent_after_it


def _bad(key: bytes) -> Message:
    return Message("signup", key, b"no JSON", partition=0)


def _cut(stage: Stage, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": stage.kafka.bootstrap_servers, "log_level": 0})
    for future in admin.delete_records([TopicPartition(topic, 0, -1)]).values():
        future.result(30)
