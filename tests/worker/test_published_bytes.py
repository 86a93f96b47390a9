"""Events and dead letters are published with the bytes recorded: a change of them is one for subscribers.

`recorded_batches.json` has topic, partition and bytes of each batch; of a compressed one, its records.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from aiokafka.codec import zstd_decode
from aiokafka.producer.message_accumulator import BatchBuilder

from tests.support.builders import (
    CANCELLATIONS,
    CHURNED,
    NOON_MS,
    STRUCTURED_TYPE,
    cancellation,
    cancellation_value,
    cancelled,
    composer,
    customer,
    record,
    signup,
    structured_value,
)
from tests.worker.record_batches import FIRST_TIMESTAMP
from worker.kafka import clients as kafka
from worker.kafka.batch_sizes import BatchSizes
from worker.messages import dead_letter
from worker.messages.churned_event import Envelope
from worker.messages.outgoing import Outgoing
from worker.messages.record import Header
from worker.messages.rejection import Reason, Rejected
from worker.outbox import event_batches
from worker.outbox.publisher import Publisher
from worker.settings import Kafka
from worker.stores.changes import Changes
from worker.stores.duckdb.store import DuckDBStore

RECORDED = Path(__file__).with_name("recorded_batches.json")
PARTITIONS = {CHURNED: 3, "customer.signup-dlt": 2}
LARGEST = 4 * 1024
HEADER_BYTES, CODEC_AT, CODEC = 61, 22, 0b111
TRACES: list[Header] = [
    ("ce_correlationid", b"order-7"),
    ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", b"vendor=" + b"x" * 200),
]
CAUSES: list[list[Header]] = [
    [],
    [("ce_id", b"evt-1"), ("ce_time", b"2026-06-30T12:00:00.25+02:00")],
    [("ce_id", "é😀".encode()), ("ce_time", b"yesterday"), *TRACES],
    [("ce_id", b"x" * 4096)],
    [("ce_id", b"\xff"), ("ce_id", None), ("ce_traceparent", b"00-1"), ("na\udcffme", b"odd")],
]

MORE_CAUSES: list[list[Header]] = [
    [("ce_correlationid", b"order-8")],
    [("tracestate", b"vendor=2"), ("x", b"1"), ("traceparent", b"00-3"), ("ce_id", b"evt-2")],
    [("ce_tracestate", b"vendor=3"), ("ce_correlationid", b"first"), ("ce_correlationid", b"last")],
    [("ce_correlationid", b""), ("traceparent", b"\n"), ("tracestate", None)],
    [("ce_id", b"x" * 63), ("traceparent", b"y" * 64), ("ce_correlationid", b"z" * 4096)],
]
LONG_REASON = "r" * 17 * 1024

Built = list[tuple[str, int, str]]
"""Topic, partition and bytes of batches."""


@pytest.fixture(autouse=True)
def _fixed_time_and_version(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    append = BatchBuilder.append

    def append_then(self: BatchBuilder, *, timestamp: int | None, **given: Any) -> Any:
        assert timestamp is None
        return append(self, timestamp=FIRST_TIMESTAMP, **given)

    with monkeypatch.context() as patched:
        patched.setattr(BatchBuilder, "append", append_then)
        patched.setattr(event_batches, "now_ms", lambda: FIRST_TIMESTAMP)
        patched.setattr(dead_letter, "__version__", "1.0.0")
        patched.setattr(kafka, "relay_producer", lambda _: None)
        yield


def batches(messages: Sequence[Outgoing]) -> Iterator[tuple[str, int, Any]]:
    sizes = BatchSizes(dict.fromkeys(PARTITIONS, LARGEST))
    return Publisher(Kafka(), PARTITIONS, Envelope("/customers"), sizes)._batches(messages)


def built(batches: Iterable[tuple[str, int, Any]]) -> Built:
    found = []
    for topic, partition, batch in batches:
        batch._set_producer_state(7, 3, 21)
        content = bytes(batch._build())
        if content[CODEC_AT] & CODEC:  # another version of the library may compress to other bytes
            content = zstd_decode(content[HEADER_BYTES:])
        found.append((topic, partition, content.hex()))
    return sorted(found, key=itemgetter(0, 1))  # within a partition they keep their order


def corpus() -> list[Outgoing]:
    """Events and dead letters of every kind of cause."""
    compose = composer()
    messages = []
    for number in range(15):
        who = f"00000000-0000-4000-8000-{number:012x}"
        reason = ["too_expensive", None, "é" * 200, ""][number % 4]
        event = customer(who).mark_churned(date(2026, 1 + number % 12, 15), reason) if number % 12 else None
        cause = record(cancellation_value(who), CANCELLATIONS, number, headers=CAUSES[number % 5], key=b"key")
        if number % 7 == 3:
            whole = structured_value(cancellation_value(who), time='"2026-06-30T00:00:00Z"', traceparent='"00-2"')
            cause = record(whole, CANCELLATIONS, number, headers=STRUCTURED_TYPE, timestamp=NOON_MS + number)
        if event is not None:
            messages.append(compose.churned(event, cancelled(cause)))
        refused = signup(number) if number % 3 else record(None, offset=number, headers=CAUSES[number % 5])
        messages.append(compose.dead_letter(refused, Rejected(Reason.INVALID, "mrr is missing", who)))
    for number, headers in enumerate(MORE_CAUSES):
        who = f"00000000-0000-4000-8000-{100 + number:012x}"
        event = customer(who).mark_churned(date(2026, 6, 15), "moved")
        cause = record(cancellation_value(who), CANCELLATIONS, number, headers=headers)
        messages.append(compose.churned(event, cancelled(cause)))
    event = customer().mark_churned(date(2026, 6, 15), LONG_REASON)
    messages.append(compose.churned(event, cancelled(cancellation(99))))
    return messages


def test_batches_have_the_bytes_recorded() -> None:
    recorded = [tuple(batch) for batch in json.loads(RECORDED.read_text())]
    assert built(batches(corpus())) == recorded


def test_stored_records_are_published_with_the_same_bytes(store: DuckDBStore) -> None:
    store.commit(Changes(outbox=corpus()))
    assert built(batches(list(store.pending(0, 1000).messages))) == built(batches(corpus()))


def test_large_event_is_alone_in_its_batch() -> None:
    compose = composer()
    reasons = [None, "r" * (LARGEST // 2), None]
    cause = cancelled(cancellation())
    events = [compose.churned(customer().mark_churned(date(2026, 6, 15), reason), cause) for reason in reasons]
    assert [batch.record_count() for _, _, batch in batches(events)] == [1, 1, 1]
    assert [batch.record_count() for _, _, batch in batches([events[0], events[2]])] == [2]
