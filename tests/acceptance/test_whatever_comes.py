"""No header, key or value stops the worker, not even one that the contract does not mention."""

import asyncio
import itertools

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from tests.support.corner_cases import corner_cases
from tests.support.records import Message
from tests.support.spelling import signup
from tests.support.stage import Stage

pytestmark = pytest.mark.timeout(120)
IDS = [f"6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a{number:02x}" for number in range(4)]


def test_corner_cases_have_the_outcomes_of_the_contract(stage: Stage) -> None:
    good = Message("signup", None, signup(IDS[0]))
    stage.create_topics()
    stage.produce([*corner_cases(), good])
    stage.run_to_the_end_of_the_topics()
    wanted = stage.require_as_expected()
    assert IDS[0] in wanted.customers


class NoText(str):
    """A header's name that is no text: Kafka takes any bytes, and other clients than Python's send them."""

    __slots__ = ()

    def encode(self, *_: str) -> bytes:
        return b"\xff\xfe\x80"


def test_non_utf_8_header_name_does_not_stop_the_worker(stage: Stage) -> None:
    stage.create_topics(partitions=1)
    stage.produce([Message("signup", None, signup(IDS[0]))])
    asyncio.run(_send_with_that_name(stage, [signup(IDS[1]), b"not JSON"]))
    stage.produce([Message("signup", None, signup(IDS[2]))])
    worker = stage.start()
    stage.wait_until_consumed(worker)
    assert worker.stop() == 0, worker.tail()
    store = stage.store()
    assert set(store.customers) == set(IDS[:3])
    outcomes = sorted((row.where[2], row.outcome, row.reason) for row in store.journal)
    assert outcomes == [(0, "applied", None), (1, "applied", None), (2, "rejected", "malformed"), (3, "applied", None)]
    said = stage.kafka.tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        *("--topic", stage.topics.dead_letters[0], "--from-beginning", "--max-messages", "1", "--timeout-ms", "20000"),
        *("--isolation-level", "read_committed", "--formatter-property", "print.headers=true"),
    )
    assert "__dlq.errors.reason:malformed" in said
    assert "\ufffd" in said, "the name that is no text is not there"


async def _send_with_that_name(stage: Stage, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=stage.kafka.bootstrap_servers)
    await producer.start()
    try:
        batch = producer.create_batch()
        # The builder written in Python asks the name to encode itself.
        batch._builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, -1, 1_000_000)
        for value, name in zip(values, itertools.repeat(NoText("?"))):
            assert batch.append(key=None, value=value, timestamp=None, headers=[("x", b"1"), (name, b"2")]) is not None
        batch.close()
        await (await producer.send_batch(batch, stage.topics.signup, partition=0))
    finally:
        await producer.stop()
