"""The secured broker refuses what it should, and allows what it was told to."""

from pathlib import Path

from tests.support.kafka.secured import READ, TOPIC, SecuredKafka, least_rights
from tests.support.records import Topics
from tests.support.stage import Stage


def test_least_rights_run_the_worker_and_no_fewer(secured_kafka: SecuredKafka, tmp_path: Path) -> None:
    stage = Stage(secured_kafka.kafka, tmp_path)
    stage.create_topics(1)
    stage.settings |= secured_kafka.settings
    topics: Topics = stage.topics
    rights = least_rights(topics.inputs, (topics.churned, *topics.dead_letters), stage.group)
    secured_kafka.allow(*rights)
    worker = stage.start()
    worker.wait_until(lambda: bool(worker.events("recovered")), "recovered")
    assert worker.stop() == 0
    secured_kafka.revoke((TOPIC, topics.signup, READ))
    assert stage.start().wait() != 0
    stage.close()
