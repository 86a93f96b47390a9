"""Batches of events have the bytes of those that aiokafka builds from the same headers."""

from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.util import encode_varint
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.builders import ADA, CHURNED
from tests.support.published import listed
from tests.worker.record_batches import FIRST_TIMESTAMP
from worker.messages.churned_event import DATASCHEMA, EVENT_TYPE, Envelope
from worker.messages.encoded_headers import VARINTS, encode, varint
from worker.messages.outgoing import Outgoing
from worker.messages.record import Header
from worker.outbox import event_batches as module
from worker.outbox.event_batches import EventBatch, event_batches
from worker.stores.row_codec import outgoing

COMMON: list[Header] = [
    ("ce_specversion", b"1.0"),
    ("ce_source", b"/customers"),
    ("ce_type", EVENT_TYPE),
    ("ce_dataschema", DATASCHEMA),
    ("content-type", b"application/json"),
]
LARGE = 1024 * 1024
# Sizes around those at which the length of a value or of the record takes another byte, or leaves the table.
SIZES = [0, 1, 63, 64, *range(8190, 8194), 16_383, 16_384, 17_000, 70_000]


@pytest.fixture(autouse=True)
def _fixed_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "now_ms", lambda: FIRST_TIMESTAMP)


def event(value: bytes | None, headers: Sequence[Header] = (), event_id: str = "id", who: str | None = ADA) -> Outgoing:
    return Outgoing(event_id, CHURNED, None, None, value, (), who, -1, encode(headers))


def built(batch: Any) -> bytes:
    batch._set_producer_state(7, 3, 21)
    return bytes(batch._build())


def by_aiokafka(events: Sequence[Outgoing], headers: Sequence[Sequence[Header]], size: int, codec: int) -> Any:
    """Return the batch of as many of the events as it takes, built by aiokafka."""
    batch = BatchBuilder(size, codec, is_transactional=1)
    for each, own in zip(events, headers, strict=True):
        key = (each.customer_id or "").encode()
        every = [*COMMON, ("ce_id", each.id.encode()), ("ce_subject", key), *own]
        if batch.append(timestamp=FIRST_TIMESTAMP, key=key, value=each.value, headers=every) is None:
            break
    return batch


def by_worker(events: Sequence[Outgoing], size: int, codec: int) -> EventBatch:
    batch = EventBatch(Envelope("/customers"), size, codec)
    for each in events:
        if not batch.add(each):
            break
    return batch


VALUES = st.none() | st.binary(max_size=200) | st.sampled_from(SIZES).map(lambda size: b"v" * size)
HEADERS = st.lists(st.tuples(st.text(max_size=20), VALUES.filter(lambda value: len(value or b"") <= 64)), max_size=6)
EVENTS = st.tuples(VALUES, HEADERS, st.text(max_size=40), st.none() | st.just(ADA) | st.text(max_size=40))


@given(st.lists(EVENTS, min_size=1, max_size=5), st.sampled_from([100, 1_000, 20_000, LARGE]), st.sampled_from([0, 4]))
@example([(b"v" * size, [], "id", ADA) for size in SIZES], LARGE, 0)
@example([(b"v", [], "id", ADA)] * 100, LARGE, 0)
def test_any_batch_has_the_bytes_of_aiokafkas(content: list[Any], size: int, codec: int) -> None:
    events = [event(*each) for each in content]
    headers = [own for _, own, _, _ in content]
    expected = by_aiokafka(events, headers, size, codec)
    batch = by_worker(events, size, codec)
    assert batch.record_count() == expected.record_count()
    assert batch.size() == expected.size()
    assert built(batch) == built(expected)


@given(st.lists(EVENTS, min_size=1, max_size=5))
def test_records_are_read_by_aiokafka(content: list[Any]) -> None:
    batch = DefaultRecordBatch(built(by_worker([event(*each) for each in content], LARGE, 0)))
    assert batch.validate_crc()
    for record, (value, own, event_id, who) in zip(batch, content, strict=True):
        key = (who or "").encode()
        assert (record.key, record.value, record.timestamp) == (key, value, FIRST_TIMESTAMP)
        assert record.headers == [*COMMON, ("ce_id", event_id.encode()), ("ce_subject", key), *own]


def test_event_of_an_earlier_version_is_published_unchanged() -> None:
    as_stored = b"\x92\x92\xa7ce_time\xc4\x01t\x92\xaece_causationid\xc4\x02id"
    before = outgoing(("id", CHURNED, None, None, b"{}", as_stored, ADA, -1))
    headers: list[Header] = [("ce_time", b"t"), ("ce_causationid", b"id")]
    assert built(by_worker([before], LARGE, 0)) == built(by_aiokafka([before], [headers], LARGE, 0))
    assert built(by_worker([before], LARGE, 0)) == built(by_worker([event(b"{}", headers)], LARGE, 0))


def test_closed_batch_takes_no_event() -> None:
    batch = by_worker([event(b"{}")], LARGE, 0)
    batch.close()
    assert not batch.add(event(b"{}"))
    assert batch.record_count() == 1


def test_batches_keep_the_order_of_each_partition() -> None:
    events = [event(b"{}" + b"x" * (number % 7 == 3) * 600, event_id=str(number)) for number in range(40)]
    partitions = [number % 3 for number in range(40)]
    found: dict[int, list[int]] = {0: [], 1: [], 2: []}
    firsts = set()
    for partition, batch in event_batches(events, partitions, lambda each: by_worker([each], 2_000, 0), 500):
        ids = [dict(record.headers)["ce_id"] for record in DefaultRecordBatch(built(batch))]
        found[partition] += [int(each or b"") for each in ids]
        firsts.add(int(ids[0] or b""))
    assert found == {partition: list(range(partition, 40, 3)) for partition in found}
    assert firsts >= {number for number in range(40) if number % 7 == 3}, "a large event begins a batch"


# Their parts


@given(st.integers(-1, 2**31 - 1))
@example(len(VARINTS) - 1)
@example(len(VARINTS))
def test_varints_are_those_of_aiokafka(number: int) -> None:
    expected = bytearray()
    encode_varint(number, expected.append)
    assert varint(number) == expected
    assert VARINTS[min(max(number, 0), len(VARINTS) - 1)] == varint(min(max(number, 0), len(VARINTS) - 1))


@given(HEADERS)
def test_encoded_headers_can_be_told_from_messagepack(headers: list[Header]) -> None:
    encoded = encode(headers)
    assert listed(encoded) == headers
    row = ("id", CHURNED, None, None, b"{}", encoded, ADA, -1)
    assert outgoing(row) == Outgoing("id", CHURNED, None, None, b"{}", (), ADA, -1, encoded)
