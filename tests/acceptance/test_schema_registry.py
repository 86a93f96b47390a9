"""Records of a real producer that uses a real schema registry."""

import json
import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from tests.support.reader import CommittedReader, read_committed
from tests.support.records import Message
from tests.support.schema_registry import running_registry
from tests.support.spelling import cancellation, signup
from tests.support.stage import Stage
from worker.messages import schemas

pytestmark = pytest.mark.timeout(300)
READ_LIMIT_S = 60
CUSTOMER = str(uuid.uuid4())
VALUES = {"signup": signup(CUSTOMER), "cancellation": cancellation(CUSTOMER)}


@pytest.fixture(scope="module")
def registry() -> Iterator[SchemaRegistryClient]:
    """Yield a client of a registry."""
    with running_registry() as url, SchemaRegistryClient({"url": url}) as client:
        yield client


def send_framed(stage: Stage, registry: SchemaRegistryClient) -> dict[str, bytes]:
    """Send a signup and its cancellation as the serializer writes them, with the schemas of the contract."""
    framed = {}
    for name, value in VALUES.items():
        serialize = JSONSerializer(json.dumps(schemas.schema(name)), registry)
        context = SerializationContext(getattr(stage.topics, name), MessageField.VALUE)
        framed[name] = serialize(json.loads(value), context) or b""
        assert framed[name][:1] == b"\0"
    stage.create_topics(partitions=1)
    stage.produce([Message("signup", None, framed["signup"]), Message("cancellation", None, framed["cancellation"])])
    return framed


def test_framed_records_are_applied(stage: Stage, registry: SchemaRegistryClient) -> None:
    stage.settings["SCHEMA_REGISTRY__ACCEPT_FRAMED"] = "true"
    send_framed(stage, registry)
    worker = stage.start()
    reader = CommittedReader(stage.kafka.bootstrap_servers, (stage.topics.churned,))
    [event] = reader.read_until(1, READ_LIMIT_S, worker.require_running)
    reader.close()
    assert worker.stop() == 0
    assert event.key == CUSTOMER.encode()
    assert json.loads(event.value or b"")["lost_arr"]["amount"] == "5988.00"


def test_framed_records_are_dead_letters_without_the_setting(stage: Stage, registry: SchemaRegistryClient) -> None:
    framed = send_framed(stage, registry)
    stage.run_to_the_end_of_the_topics()
    letters = list(read_committed(stage.kafka.bootstrap_servers, *stage.topics.dead_letters))
    assert {letter.value for letter in letters} == set(framed.values())
    for letter in letters:
        headers = dict(letter.headers)
        schema_id = int.from_bytes((letter.value or b"")[1:5], "big")
        assert headers["__dlq.errors.reason"] == b"malformed"
        message = (headers["__dlq.errors.message"] or b"").decode()
        assert f"(schema id {schema_id})" in message
        assert "CUSTOMER_WORKER_SCHEMA_REGISTRY__ACCEPT_FRAMED" in message
