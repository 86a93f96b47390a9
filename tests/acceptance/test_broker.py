"""The Kafka of the tests starts, survives kills and pauses, and names what is missing."""

import uuid

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from docker.errors import DockerException

from tests.support.kafka import broker
from tests.support.kafka.broker import running_kafka
from tests.support.kafka.cluster import Kafka
from tests.support.kafka.tool import reset_offsets

pytestmark = pytest.mark.timeout(180)


def test_one_broker_stores_a_record_and_resets_a_group(kafka: Kafka) -> None:
    topic, group = _topic(kafka, replicas=1), f"reader-{uuid.uuid4()}"
    _send(kafka, topic, b"hello")
    assert _read(kafka, topic, group) == [b"hello"]
    assert "NEW-OFFSET" in reset_offsets(kafka, group, "--to-earliest")
    assert _read(kafka, topic, group) == [b"hello"]


def test_three_brokers_survive_a_kill_a_pause_and_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(broker.ADDRESS, raising=False)  # a given Kafka is not ours to hurt
    with running_kafka(brokers=3) as kafka:
        topic = _topic(kafka, replicas=3)
        kafka.nodes[0].kill()
        _send(kafka, topic, b"while one was dead")
        kafka.nodes[0].restart()
        kafka.nodes[1].pause()
        _send(kafka, topic, b"while another was frozen")
        kafka.nodes[1].resume()
        assert _read(kafka, topic, group="reader", wanted=2) == [b"while one was dead", b"while another was frozen"]


def test_missing_kafka_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(broker.ADDRESS, raising=False)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr("docker.from_env", _no_engine)
    monkeypatch.setattr("shutil.which", lambda *_args, **_kwargs: None)
    missing = r"no Docker engine answers, and there is no `java`.*install Java 17 and Maven"
    with pytest.raises(RuntimeError, match=missing), running_kafka():
        pass


def test_unreachable_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(broker.ADDRESS, "127.0.0.1:1")
    monkeypatch.setattr(broker, "wait_until_ready", _never_ready)
    with pytest.raises(RuntimeError, match=r"127\.0\.0\.1:1, but no Kafka answers there"), running_kafka():
        pass


def _no_engine(**_kwargs: object) -> None:
    raise DockerException("refused")


def _never_ready(*_args: object, **_kwargs: object) -> None:
    raise TimeoutError


def _topic(kafka: Kafka, replicas: int) -> str:
    name = f"harness-{uuid.uuid4()}"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=replicas)])[name].result(30)
    return name


def _send(kafka: Kafka, topic: str, value: bytes) -> None:
    failed: list[KafkaError] = []
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "acks": "all", "delivery.timeout.ms": 100_000})
    producer.produce(topic, value, on_delivery=lambda error, _: failed.append(error) if error else None)
    assert producer.flush(120) == 0
    assert not failed


def _read(kafka: Kafka, topic: str, group: str, wanted: int = 1) -> list[bytes | None]:
    settings = {"bootstrap.servers": kafka.bootstrap_servers, "group.id": group, "auto.offset.reset": "earliest"}
    consumer = Consumer(settings)
    try:
        consumer.subscribe([topic])
        messages = consumer.consume(wanted, timeout=60)
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
        return [message.value() for message in messages]
    finally:
        consumer.close()
