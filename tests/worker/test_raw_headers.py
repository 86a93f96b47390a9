"""Header names that are not UTF-8 are read and written byte for byte in Kafka's record batches."""

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import aiokafka.consumer.fetcher
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords

from tests.support.raw_batches import BatchHeader, pack
from tests.support.raw_batches import RawRecord as RecordAtOffset
from tests.worker.record_batches import CODECS, CONTROL, FIRST_TIMESTAMP, TRANSACTIONAL, RawRecord, record_batch
from worker.kafka import record_parsing
from worker.kafka.batch_builders import EscapedBatchBuilder
from worker.kafka.record_parsing import ValueBatch
from worker.messages.record import Header

PLACE = TopicPartition("topic", 0)
BAD = b"na\xffme"
ESCAPED = "na\udcffme"
MIXED: list[RawRecord] = [
    (b"key 0", b"value 0", [(b"plain", b"1"), ("größe".encode(), None)]),
    (
        b"\xff\xfe",
        b"\x00\xff" * 50,
        [(BAD, b"\xff"), (b"", b""), (b"plain", b"2"), (BAD, None), (b"\xed\xa0\x80", b"x")],
    ),
    (None, None, []),
    (b"key 3", b"v" * 300, [(bytes(range(128, 256)), b"")]),
]
READ = [
    (0, b"key 0", b"value 0", [("plain", b"1"), ("größe", None)]),
    (1, b"\xff\xfe", b"\x00\xff" * 50,
     [(ESCAPED, b"\xff"), ("", b""), ("plain", b"2"), (ESCAPED, None), ("\udced\udca0\udc80", b"x")]),
    (2, None, None, []),
    (3, b"key 3", b"v" * 300, [("".join(map(chr, range(0xDC80, 0xDD00))), b"")]),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MemoryRecords", "PartitionRecords"):
        monkeypatch.setattr(aiokafka.consumer.fetcher, name, getattr(aiokafka.consumer.fetcher, name))
    record_parsing.install()


def batches(data: bytes) -> list[Any]:
    records = aiokafka.consumer.fetcher.MemoryRecords(data)
    found = []
    while records.has_next():
        found.append(records.next_batch())
    return found


def read(data: bytes) -> list[tuple[Any, ...]]:
    return [(r.offset, r.key, r.value, list(r.headers)) for batch in batches(data) for r in batch]


def escaped(name: bytes) -> str:
    return name.decode(errors="surrogateescape")


@pytest.mark.parametrize("codec", CODECS)
def test_unpatched_aiokafka_fails_on_a_non_utf_8_name(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiokafka.consumer.fetcher, "MemoryRecords", MemoryRecords)
    with pytest.raises((UnicodeDecodeError, CorruptRecordException)):
        read(record_batch(MIXED, codec))


@pytest.mark.parametrize("codec", CODECS)
def test_batch_with_non_utf_8_names_is_read_with_each_codec(codec: str) -> None:
    assert read(record_batch(MIXED, codec)) == READ


@pytest.mark.parametrize("codec", CODECS)
def test_usual_batch_is_read(codec: str) -> None:
    usual = [record for record in MIXED if all(name.isascii() for name, _ in record[2])]
    (batch,) = batches(record_batch(usual, codec, base_offset=40))
    assert [(r.offset, r.timestamp, r.key) for r in batch] == [(40, FIRST_TIMESTAMP, None)]


def test_read_values_are_bytes_and_str() -> None:
    (batch,) = batches(record_batch(MIXED))
    for record in batch:
        assert {type(record.key), type(record.value)} <= {bytes, type(None)}
        for name, value in record.headers:
            assert type(name) is str
            assert type(value) in {bytes, type(None)}


def test_offsets_and_times_are_relative_to_the_batch() -> None:
    (batch,) = batches(record_batch(MIXED, "zstd", base_offset=2**40))
    assert [(r.offset - 2**40, r.timestamp - FIRST_TIMESTAMP) for r in batch] == [(0, 0), (1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize("name", [b"plain", BAD], ids=["usual", "non-UTF-8"])
@pytest.mark.parametrize("base", [-(2**63), 2**63 - 1, 0], ids=["first", "last", "zero"])
@pytest.mark.parametrize("timestamp", [FIRST_TIMESTAMP, -(2**63), -(2**63) + 9, 2**63 - 1, -1])
def test_times_overflow_as_in_java(timestamp: int, base: int, name: bytes) -> None:
    record = RecordAtOffset(3, timestamp, None, b"value", [(name, b"")])
    (batch,) = batches(pack([record], BatchHeader(3, base_timestamp=base)))
    assert [each.timestamp for each in batch] == [timestamp]


def test_batches_that_follow_each_other_are_each_read() -> None:
    usual: list[RawRecord] = [(b"a", b"b", [(b"c", b"d")])]
    data = record_batch(usual) + record_batch(MIXED, "lz4", base_offset=1) + record_batch(usual, base_offset=5)
    assert [(offset, key) for offset, key, _, _ in read(data)] == [
        (0, b"a"), (1, b"key 0"), (2, b"\xff\xfe"), (3, None), (4, b"key 3"), (5, b"a"),
    ]  # fmt: skip


def test_truncated_last_batch_is_left_for_the_next_fetch() -> None:
    whole = record_batch(MIXED)
    records = aiokafka.consumer.fetcher.MemoryRecords(whole + record_batch(MIXED, base_offset=4)[:-1])
    assert records.next_batch() is not None
    assert not records.has_next()
    assert records.next_batch() is None


def test_batch_has_the_properties_that_the_fetcher_reads() -> None:
    (batch,) = batches(record_batch(MIXED, base_offset=10, flags=TRANSACTIONAL))
    assert batch.validate_crc()
    assert (batch.base_offset, batch.next_offset, batch.producer_id) == (10, 14, 7)
    assert (batch.is_transactional, batch.is_control_batch) == (True, False)


def test_damaged_batch_is_refused() -> None:
    data = bytearray(record_batch(MIXED))
    data[-1] ^= 1
    (batch,) = batches(bytes(data))
    assert not batch.validate_crc()


def test_transaction_marker_is_read() -> None:
    (batch,) = batches(record_batch([(b"\0\0\0\1", b"\0\0\0\0\0\0", [])], flags=TRANSACTIONAL | CONTROL))
    assert batch.is_control_batch
    assert next(batch).key == b"\0\0\0\1"


def handed_over(data: bytes, kind: Any, aborted: Sequence[tuple[int, int]] = ()) -> tuple[list[Any], int]:
    """Return the records that a consumer gets, and its next offset."""
    fetcher = aiokafka.consumer.fetcher
    records = fetcher.PartitionRecords(
        PLACE, fetcher.MemoryRecords(data), aborted, 0, None, kind, True, fetcher.READ_COMMITTED
    )
    return list(records), records.next_fetch_offset


@pytest.mark.parametrize("codec", CODECS)
def test_values_are_delivered_per_batch(codec: str) -> None:
    values = [value for _, _, value, _ in READ]
    [tombstone] = [key for _, key, value, _ in READ if value is None]
    data = record_batch(MIXED, codec) + record_batch(MIXED[:1], codec, base_offset=4)
    first, second = (batch.crc for batch in batches(data))
    assert handed_over(data, ValueBatch) == (
        [ValueBatch([0, 1, 2, 3], values, first, ((2, tombstone),)), ValueBatch([4], values[:1], second)],
        5,
    )
    assert [(record.offset, record.value) for record in handed_over(data, None)[0]] == list(
        enumerate([*values, values[0]])
    )


def test_values_of_aborted_transactions_and_markers_are_skipped() -> None:
    marker = record_batch([(b"\0\0\0\0", b"\0\0\0\0\0\0", [])], flags=TRANSACTIONAL | CONTROL, base_offset=4)
    aborted = record_batch(MIXED, flags=TRANSACTIONAL) + marker
    kept = record_batch(MIXED[:1], flags=TRANSACTIONAL, base_offset=5)
    assert handed_over(aborted + kept, ValueBatch, [(7, 0)]) == (
        [ValueBatch([5], [b"value 0"], batches(kept)[0].crc)],
        6,
    )


def test_damaged_batch_of_values_is_refused() -> None:
    data = bytearray(record_batch(MIXED))
    data[-1] ^= 1
    with pytest.raises(CorruptRecordException):
        handed_over(bytes(data), ValueBatch)


@pytest.mark.parametrize(("names", "plain"), [
    ([], True), (["ascii", ""], True), (["größe", "😀"], True),
    ([ESCAPED], False), (["ascii", ESCAPED, "größe"], False),
])  # fmt: skip
def test_a_name_is_plain_unless_it_has_escaped_bytes(names: list[str], plain: bool) -> None:
    assert record_parsing.are_plain([(name, b"") for name in names]) is plain


@pytest.mark.parametrize("records", [MIXED[:2], MIXED], ids=["two", "all"])
def test_read_records_are_written_byte_for_byte(records: Sequence[RawRecord]) -> None:
    builder = EscapedBatchBuilder(1024 * 1024)
    for key, value, names in records:
        headers: list[Header] = [(escaped(name), text) for name, text in names]
        assert builder.append(timestamp=FIRST_TIMESTAMP, key=key, value=value, headers=headers) is not None
    assert builder.record_count() == len(records)
    builder._set_producer_state(7, 3, 5)
    builder.close()
    data = bytes(builder._build())
    for _, _, names in records:
        for name, _ in names:
            assert name in data
    (batch,) = batches(data)
    assert batch.validate_crc()
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (7, 3, 5)
    assert batch.is_transactional
    assert read(data) == READ[: len(records)]


IN_PURE_PYTHON = """
from tests.worker.test_raw_headers import MIXED, READ, read, record_batch
from worker.kafka import record_parsing
record_parsing.install()
assert read(record_batch(MIXED)) == READ
print("read", flush=True)
"""


def test_batches_are_read_without_aiokafkas_extensions() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_PURE_PYTHON],
        env=os.environ | {"AIOKAFKA_NO_EXTENSIONS": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr.strip().split("\n")[-1]) == ("read\n", "")
