"""The secured broker refuses what it should, and allows what it was told to."""

from pathlib import Path

from tests.acceptance.records import Topics
from tests.acceptance.stage import Stage
from tests.kafka.secured import READ, TOPIC, least_rights, secured_kafka


def test_least_rights_run_the_worker_and_no_fewer(tmp_path: Path) -> None:
    with secured_kafka() as secured:
        stage = Stage(secured.kafka, tmp_path)
        stage.create_topics(1)
        stage.settings |= secured.settings
        topics: Topics = stage.topics
        rights = least_rights(topics.inputs, (topics.churned, *topics.dead_letters), stage.group)
        secured.allow(*rights)
        worker = stage.start()
        worker.wait_until(lambda: bool(worker.events("recovered")), "recovered")
        assert worker.stop() == 0
        secured.revoke((TOPIC, topics.signup, READ))
        assert stage.start().wait() != 0
        stage.close()
