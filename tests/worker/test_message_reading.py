"""Record batches are read as messages, decoded as they are taken; their records come back byte for byte."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import aiokafka.consumer.fetcher
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException

from tests.support.builders import ADA, BOB, CANCELLATIONS, MAX_BYTES, SIGNUPS, cancellation_value, signup_value
from tests.support.published import listed
from tests.worker.record_batches import CODECS, CONTROL, FIRST_TIMESTAMP, TRANSACTIONAL, RawRecord, record_batch
from worker.kafka import record_parsing
from worker.kafka.leader_changes import LeaderChanges
from worker.kafka.message_reading import DECODED_AT_ONCE, MessageReading
from worker.messages.inbound import Decoder
from worker.messages.message import Cancellation, Message, Refused, Signup
from worker.messages.record import PlainRecord, Record, RecordSource, UnpackedRecord

DECODER = Decoder(SIGNUPS, MAX_BYTES)
BAD_NAME, ESCAPED = b"na\xffme", "na\udcffme"
MIXED: list[RawRecord] = [
    (b"key", signup_value(), [(b"content-type", b"application/json")]),
    (None, signup_value(BOB, industry='"fintech"'), [(b"x", None)]),
    (b"\xff", b"{", [(BAD_NAME, b"\xff"), (b"x", b"")]),
    (None, None, []),
    (b"", signup_value(ADA.upper()), [(BAD_NAME, None)]),
]


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MemoryRecords", "PartitionRecords"):
        monkeypatch.setattr(aiokafka.consumer.fetcher, name, getattr(aiokafka.consumer.fetcher, name))
    record_parsing.install()


class Fetched:
    """What a fetch returned of a partition, as a consumer takes it; `decoded` counts the records decoded so far."""

    def __init__(
        self, data: bytes, topic: str = SIGNUPS, offset: int = 0, aborted: Sequence[tuple[int, int]] = ()
    ) -> None:
        self.decoded = 0
        self.reading = MessageReading(LeaderChanges(lambda _: None), self._decode)
        self._parts = self._unpack(data, topic, offset, aborted, self.reading)
        self.plain: list[PlainRecord] = list(self._unpack(data, topic, offset, aborted, None))

    def _unpack(self, data: bytes, topic: str, offset: int, aborted: Iterable[tuple[int, int]], kind: Any) -> Any:
        fetcher = aiokafka.consumer.fetcher
        return fetcher.PartitionRecords(
            TopicPartition(topic, 3),
            fetcher.MemoryRecords(data),
            list(aborted),
            offset,
            None,
            kind,
            True,
            fetcher.READ_COMMITTED,
        )

    def _decode(self, records: Sequence[UnpackedRecord], source: RecordSource) -> Sequence[Message]:
        self.decoded += len(records)
        return DECODER.decode_all(records, source)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._parts)

    @property
    def next_offset(self) -> int:
        """The next offset, as the consumer's position becomes after a poll."""
        offset: int = self._parts.next_fetch_offset
        return offset


def content(message: Message) -> tuple[Any, ...]:
    """Return the fields of a message without its source."""
    return type(message), *[getattr(message, name) for name in message.__struct_fields__ if name != "source"]


@pytest.mark.parametrize("codec", CODECS)
def test_messages_are_those_of_the_plain_records(codec: str) -> None:
    fetched = Fetched(record_batch(MIXED, codec, base_offset=7) + record_batch(MIXED[:1], base_offset=12))
    messages = list(fetched)
    assert [type(message) for message in messages] == [Signup, Signup, Refused, Refused, Signup, Signup]
    assert list(map(content, messages)) == [content(DECODER.decode(record)) for record in fetched.plain]
    assert [(message.topic, message.partition, message.offset) for message in messages] == [
        (SIGNUPS, 3, offset) for offset in range(7, 13)
    ]
    assert fetched.next_offset == 13


def test_cancellations_have_time_and_headers_for_their_events() -> None:
    headers = [(b"ce_id", b"evt-7"), (b"ce_time", b"2026-06-30T01:02:03Z"), (b"content-type", b"application/json")]
    fetched = Fetched(
        record_batch([(None, cancellation_value(), headers), (None, cancellation_value(), [])]), CANCELLATIONS
    )
    first, second = fetched
    assert isinstance(first, Cancellation)
    assert isinstance(second, Cancellation)
    assert (first.timestamp, dict(listed(first.event_headers))["ce_causationid"]) == (FIRST_TIMESTAMP, b"evt-7")
    assert dict(listed(second.event_headers))["ce_causationid"] == f"{CANCELLATIONS}/3/1".encode()


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [1, 1, 4, 0, 4]], ids=["in order", "back", "any"])
@pytest.mark.parametrize("codec", CODECS)
def test_records_come_back_byte_for_byte_in_any_order(codec: str, order: list[int]) -> None:
    fetched = Fetched(record_batch(MIXED, codec, base_offset=7))
    messages = list(fetched)
    found: list[Record] = [messages[index].record() for index in order]
    assert found == [fetched.plain[index] for index in order]
    assert (fetched.plain[2].key, fetched.plain[2].headers[0]) == (b"\xff", (ESCAPED, b"\xff"))


def test_messages_are_decoded_as_they_are_taken() -> None:
    many: list[RawRecord] = [(None, signup_value(), [])] * (3 * DECODED_AT_ONCE)
    fetched = Fetched(record_batch(many))
    first = list(islice(fetched, 10))
    assert (len(first), fetched.next_offset, fetched.decoded) == (10, 10, DECODED_AT_ONCE)
    assert [message.offset for message in fetched] == list(range(10, len(many)))
    assert fetched.decoded == len(many)


def test_records_after_a_bad_name_are_each_decoded_once() -> None:
    names = [b"plain"] * (2 * DECODED_AT_ONCE)
    names[DECODED_AT_ONCE + 5] = BAD_NAME
    fetched = Fetched(record_batch([(None, signup_value(), [(name, b"")]) for name in names]))
    messages = list(fetched)
    assert [message.offset for message in messages] == list(range(len(names)))
    assert fetched.decoded == len(names)
    assert [message.record() for message in messages] == fetched.plain


def test_records_before_the_requested_offset_are_skipped() -> None:
    assert [message.offset for message in Fetched(record_batch(MIXED, base_offset=7), offset=10)] == [10, 11]


def test_aborted_transactions_and_markers_are_skipped() -> None:
    marker = record_batch([(b"\0\0\0\0", b"\0\0\0\0\0\0", [])], flags=TRANSACTIONAL | CONTROL, base_offset=5)
    aborted = record_batch(MIXED, flags=TRANSACTIONAL) + marker
    fetched = Fetched(aborted + record_batch(MIXED[:1], flags=TRANSACTIONAL, base_offset=6), aborted=[(7, 0)])
    assert [message.offset for message in fetched] == [6]
    assert (fetched.next_offset, fetched.decoded) == (7, 1)


def test_damaged_batch_is_refused() -> None:
    data = bytearray(record_batch(MIXED))
    data[-1] ^= 1
    reading = MessageReading(LeaderChanges(lambda _: None), DECODER.decode_all)
    fetcher = aiokafka.consumer.fetcher
    records = fetcher.PartitionRecords(
        TopicPartition(SIGNUPS, 3),
        fetcher.MemoryRecords(bytes(data)),
        [],
        0,
        None,
        reading,
        True,
        fetcher.READ_COMMITTED,
    )
    with pytest.raises(CorruptRecordException):
        list(records)


def test_time_spent_on_decoding_is_counted_once() -> None:
    fetched = Fetched(record_batch(MIXED))
    assert fetched.reading.take_seconds() == 0
    list(fetched)
    assert fetched.reading.take_seconds() > 0
    assert fetched.reading.take_seconds() == 0
