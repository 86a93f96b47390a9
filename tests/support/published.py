"""Events as they are on their topic, read by aiokafka from the batch that the relay sends."""

from collections.abc import Sequence

from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.util import decode_varint

from worker.messages.churned_event import Envelope
from worker.messages.outgoing import Outgoing
from worker.messages.record import Header
from worker.outbox.event_batches import EventBatch


def published(event: Outgoing, source: str = "/customers") -> tuple[bytes | None, Sequence[Header]]:
    """Return key and headers of the record."""
    batch = EventBatch(Envelope(source), 1024 * 1024, 0)
    assert batch.add(event)
    [record] = DefaultRecordBatch(bytes(batch._build()))
    return record.key, record.headers


def listed(encoded: bytes | None) -> list[Header]:
    """Decode encoded headers."""
    assert encoded is not None
    mark, count = encoded[:2]
    assert mark == 0xC1
    headers: list[Header] = []
    content, place = bytearray(encoded), 2
    for _ in range(count):
        size, place = decode_varint(content, place)
        name, place = encoded[place : place + size].decode(), place + size
        size, place = decode_varint(content, place)
        value = None if size < 0 else encoded[place : place + size]
        headers.append((name, value))
        place += max(size, 0)
    assert place == len(encoded)
    return headers
