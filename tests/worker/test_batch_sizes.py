"""Batches are as large as topic and worker allow."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError, NotEnoughReplicasError
from aiokafka.producer.message_accumulator import BatchBuilder

from worker.kafka import clients as kafka
from worker.kafka.batch_sizes import SMALLEST_BATCH_BYTES, BatchSizes, RecordTooLarge
from worker.messages.outgoing import Outgoing
from worker.messages.record import Header
from worker.outbox.publisher import BatchProducer

TOPIC = "customer.signup-dlt"
SMALL = 16 * 1024
NOISE = Random(1).randbytes(3 * SMALL)


def letter(value: bytes, headers: Sequence[Header] = ()) -> Outgoing:
    return Outgoing("id", TOPIC, 0, b"key", value, list(headers), None)


def batches(messages: Sequence[Outgoing], sizes: BatchSizes) -> list[BatchBuilder]:
    """Return the batches as they would be sent."""
    producer = BatchProducer(None, {TOPIC: 1}, sizes, is_transactional=True)
    return [batch for _, _, batch in producer._batches(messages)]


def built(batch: Any) -> int:
    return len(batch._build())


@pytest.mark.parametrize("largest", [SMALL, 128 * 1024, 1_048_588])
def test_batches_are_as_large_as_the_topic_takes(largest: int) -> None:
    messages = [letter(b"x" * 500) for _ in range(2_000)]
    found = batches(messages, BatchSizes({TOPIC: largest}))
    assert sum(batch.record_count() for batch in found) == len(messages)
    most = min(largest, kafka.PUBLISH_BATCH_BYTES)
    sizes = [built(batch) for batch in found]
    assert max(sizes) <= most
    assert all(size > most - 600 for size in sizes[:-1]), "no more batches than needed"


@pytest.mark.parametrize("headers", [[], [("na\udcffme", b"x")]], ids=["plain", "names that are no text"])
@pytest.mark.parametrize("where", ["value", "headers"])
def test_a_record_that_fits_only_compressed_is_compressed(where: str, headers: list[Header]) -> None:
    large = b"x" * (3 * SMALL)
    message = letter(large, headers) if where == "value" else letter(b"", [*headers, ("h", large)])
    found = batches([letter(b"before"), message, letter(b"after")], BatchSizes({TOPIC: SMALL}))
    assert [batch.record_count() for batch in found] == [1, 1, 1]
    assert all(built(batch) <= SMALL for batch in found)


@pytest.mark.parametrize("where", ["value", "headers"])
def test_a_record_that_never_fits_is_refused_with_the_setting(where: str) -> None:
    message = letter(NOISE) if where == "value" else letter(b"", [("h", NOISE)])
    with pytest.raises(RecordTooLarge) as refused:
        batches([letter(b"before"), message], BatchSizes({TOPIC: SMALL}))
    size = built(BatchProducer(None, {}, BatchSizes(), is_transactional=True)._batch_with(message, SMALL, 4))
    assert f"Set max.message.bytes of {TOPIC} to {size} or more" in str(refused.value)
    assert len(batches([message], BatchSizes({TOPIC: size}))) == 1, "the size named is enough"


def test_a_topic_of_unknown_size_gets_every_record() -> None:
    assert [batch.record_count() for batch in batches([letter(NOISE * 50)], BatchSizes())] == [1]


def test_refusal_halves_batches_of_topics_of_unknown_size() -> None:
    sizes = BatchSizes({"known": 1_048_588}, hidden=[TOPIC])
    sizes.note_failure(NotEnoughReplicasError())
    assert sizes.fill(TOPIC) == kafka.PUBLISH_BATCH_BYTES
    sizes.note_failure(MessageSizeTooLargeError())
    assert sizes.fill(TOPIC) == kafka.PUBLISH_BATCH_BYTES // 2
    for _ in range(20):
        sizes.note_failure(MessageSizeTooLargeError())
    assert sizes.fill(TOPIC) == SMALLEST_BATCH_BYTES
    assert sizes.fill("known") == kafka.PUBLISH_BATCH_BYTES
