"""The demo on a real Kafka creates its own topics and removes them at the end."""

import subprocess
import sys

from confluent_kafka.admin import AdminClient

from tests.support.kafka.cluster import Kafka


def test_demo_succeeds_on_a_real_kafka_and_removes_its_topics(kafka: Kafka) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    before = set(admin.list_topics(timeout=10).topics)
    run = subprocess.run(
        [sys.executable, "-m", "worker", "demo", "--bootstrap-servers", kafka.bootstrap_servers],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    after = set(admin.list_topics(timeout=10).topics)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines()[-1] == "Nothing was lost, and nothing was repeated."
    assert not [topic for topic in after - before if topic.startswith("demo-")]
