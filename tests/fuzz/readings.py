"""Three readings of a fetch: where aiokafka unpacks it, record by record without the fast path, and by the oracle."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import aiokafka.consumer.fetcher
from aiokafka import TopicPartition

from tests.fuzz.fetches import Fetch
from tests.support.builders import CANCELLATIONS, MAX_BYTES, SIGNUPS
from tests.support.envelope import Refused as OracleRefused
from tests.support.reading import Cancellation, Signup, read
from tests.support.records import Record
from worker.kafka import record_parsing
from worker.kafka.leader_changes import LeaderChanges
from worker.kafka.message_reading import MessageReading
from worker.messages import inbound
from worker.messages.inbound import Decoder
from worker.messages.message import Message
from worker.messages.record import PlainRecord

TOPICS = {"signup": SIGNUPS, "cancellation": CANCELLATIONS}
DECODERS = {framed: Decoder(SIGNUPS, MAX_BYTES, accept_framed=framed) for framed in (False, True)}

Said = Signup | Cancellation | OracleRefused
"""What the oracle reads in a record."""


@contextmanager
def installed() -> Iterator[None]:
    """Make aiokafka unpack as in the worker, until the block ends."""
    fetcher = aiokafka.consumer.fetcher
    with patch.multiple(fetcher, MemoryRecords=fetcher.MemoryRecords, PartitionRecords=fetcher.PartitionRecords):
        record_parsing.install()
        yield


def read_fast(fetch: Fetch, data: bytes) -> list[Message]:
    """Read the fetch as the worker does."""
    decode = DECODERS[fetch.accept_framed].decode_all
    return list(_unpack(fetch, data, MessageReading(LeaderChanges(lambda _: None), decode)))


def read_records(fetch: Fetch, data: bytes) -> list[PlainRecord]:
    """Read the fetch as records that are not decoded, as commands do."""
    return list(_unpack(fetch, data, None))


def _unpack(fetch: Fetch, data: bytes, reading: MessageReading | None) -> Iterable[Any]:
    fetcher = aiokafka.consumer.fetcher
    place = TopicPartition(TOPICS[fetch.kind], fetch.partition)
    records = fetcher.MemoryRecords(data)
    aborted = fetch.aborted()
    unpacked: Iterable[Any] = fetcher.PartitionRecords(
        place, records, aborted, fetch.start, None, reading, True, fetcher.READ_COMMITTED
    )
    return unpacked


def sent_records(fetch: Fetch) -> list[PlainRecord]:
    """Return the visible records as they were generated, never packed."""
    topic = TOPICS[fetch.kind]
    return [
        PlainRecord(
            topic,
            fetch.partition,
            each.offset,
            each.timestamp,
            each.key,
            each.value,
            [(name.decode("utf-8", "surrogateescape"), value) for name, value in each.headers],
        )
        for each in fetch.visible()
    ]


def _no_fast_path(*_: object) -> None:
    return None


def read_plain(fetch: Fetch, records: Sequence[PlainRecord]) -> list[Message]:
    """Decode each record by the plain path alone."""
    decode = DECODERS[fetch.accept_framed].decode
    with patch.multiple(inbound, usual_signup=_no_fast_path, usual_cancellation=_no_fast_path):
        return [decode(record) for record in records]


def read_by_oracle(fetch: Fetch, records: Sequence[PlainRecord]) -> list[Said]:
    """Read each record by the contract."""
    return [_said(fetch, record) for record in records]


def _said(fetch: Fetch, record: PlainRecord) -> Said:
    try:
        return read(fetch.kind, for_oracle(record), accept_framed=fetch.accept_framed)
    except OracleRefused as refused:
        return refused


def for_oracle(record: PlainRecord) -> Record:
    """Return the record as the oracle takes it."""
    return Record(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        tuple(record.headers),
    )
