"""Kafka's record batches (version 2), packed and unpacked by their definition: any bytes can stand in any place.

Independent of the code under test and of aiokafka's reader and writer; only the codecs are aiokafka's.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cramjam
from aiokafka.codec import gzip_decode, lz4_decode, lz4_encode, snappy_decode, snappy_encode, zstd_decode, zstd_encode
from aiokafka.record.util import calc_crc32c

RawHeader = tuple[bytes, bytes | None]

LOG_APPEND_TIME, TRANSACTIONAL, CONTROL = 0x08, 0x10, 0x20
ABORT, COMMIT = 0, 1
_CODEC_MASK = 0x07
_HEADER = struct.Struct(">qiibIhiqqqhii")
_CHECKED = struct.Struct(">hiqqqhii")
_BEFORE_CHECKED = struct.Struct(">qiibI")


class RawRecord(NamedTuple):
    """A record: absolute offset, timestamp in ms, key, value, and headers whose names are bytes."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[RawHeader]


@dataclass(frozen=True, slots=True)
class BatchHeader:
    """The fields of a batch's header that do not follow from its records.

    `last_offset` is beyond the last record where compaction removed records. With `append_time` the batch has the
    timestamps of type LogAppendTime.
    """

    base_offset: int = 0
    codec: str = "none"
    flags: int = 0
    epoch: int = -1
    producer: tuple[int, int, int] = (-1, -1, -1)
    last_offset: int | None = None
    base_timestamp: int = 0
    append_time: int | None = None


def _gzip(content: bytes) -> bytes:
    return bytes(cramjam.gzip.compress(content, level=1))  # a third of the time of level 9


def _snappy_raw(content: bytes) -> bytes:
    """Compress without the frame of xerial, as librdkafka does."""
    return bytes(snappy_encode(content, xerial_compatible=False))


def _zstd_stream(content: bytes) -> bytes:
    """Compress as a stream, as Java does: the frame has no size of its content."""
    compressor = cramjam.zstd.Compressor()
    compressor.compress(content)
    return bytes(compressor.finish())


_COMPRESS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "none": (0, bytes),
    "gzip": (1, _gzip),
    "snappy": (2, snappy_encode),
    "snappy raw": (2, _snappy_raw),
    "lz4": (3, lz4_encode),
    "zstd": (4, zstd_encode),
    "zstd stream": (4, _zstd_stream),
}
_DECOMPRESS: list[Callable[[bytes], bytes]] = [bytes, gzip_decode, snappy_decode, lz4_decode, zstd_decode]
CODECS = tuple(_COMPRESS)


def varint(number: int) -> bytes:
    """Encode a number as a zigzag varint."""
    rest = number << 1 if number >= 0 else (-number << 1) - 1
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


_VARINTS = [varint(number) for number in range(1024)]
_NULL = varint(-1)


def _sized(content: bytes | None) -> bytes:
    if content is None:
        return _NULL
    size = len(content)
    return (_VARINTS[size] if size < 1024 else varint(size)) + content


def pack(records: Sequence[RawRecord], header: BatchHeader) -> bytes:
    """Encode the batch as a broker sends it."""
    number, compress = _COMPRESS[header.codec]
    body = compress(b"".join([_record(record, header) for record in records])) if records else b""
    last = header.last_offset if header.last_offset is not None else max(record.offset for record in records)
    times = [record.timestamp for record in records] or [-1]
    flags, latest = number | header.flags, max(times)
    if header.append_time is not None:
        flags, latest = flags | LOG_APPEND_TIME, header.append_time
    checked = _CHECKED.pack(
        flags, last - header.base_offset, header.base_timestamp, latest, *header.producer, len(records)
    )
    checked += body
    length = _BEFORE_CHECKED.size - 12 + len(checked)
    crc = calc_crc32c(checked)
    return _BEFORE_CHECKED.pack(header.base_offset, length, header.epoch, 2, crc) + checked


def _wrapped(number: int) -> int:
    """Return a 64-bit integer as Java computes it, where a sum overflows."""
    return (number + 2**63) % 2**64 - 2**63


def _record(record: RawRecord, header: BatchHeader) -> bytes:
    headers = record.headers
    content = b"".join(
        [
            b"\0",
            varint(_wrapped(record.timestamp - header.base_timestamp)),
            varint(record.offset - header.base_offset),
            _sized(record.key),
            _sized(record.value),
            varint(len(headers)),
            *[_sized(name) + _sized(value) for name, value in headers],
        ]
    )
    return _sized(content)


def marker(offset: int, kind: int, producer_id: int) -> bytes:
    """Encode the marker that ends a transaction: `ABORT` or `COMMIT`."""
    record = RawRecord(offset, 0, struct.pack(">hh", 0, kind), struct.pack(">hi", 0, 0), ())
    return pack([record], BatchHeader(offset, flags=TRANSACTIONAL | CONTROL, producer=(producer_id, 0, -1)))


def unpack(data: bytes | memoryview) -> list[RawRecord]:
    """Decode the records of a batch. Raises `ValueError` if its checksum or a length is wrong."""
    base, _, _, _, crc, flags, _, first, latest, _, _, _, count = _HEADER.unpack_from(data)
    if crc != calc_crc32c(bytes(data[_BEFORE_CHECKED.size :])):
        raise ValueError("checksum")
    body, place = _DECOMPRESS[flags & _CODEC_MASK](bytes(data[_HEADER.size :])), 0
    records = []
    for _ in range(count):
        size, place = _number(body, place)
        end = place + size
        time, place = _number(body, place + 1)
        offset, place = _number(body, place)
        key, place = _nullable(body, place)
        value, place = _nullable(body, place)
        headers, place = _headers(body, place)
        if place != end:
            raise ValueError("length of a record")
        timestamp = latest if flags & LOG_APPEND_TIME else _wrapped(first + time)
        records.append(RawRecord(base + offset, timestamp, key, value, headers))
    if place != len(body):
        raise ValueError("length of the records")
    return records


def _headers(body: bytes, place: int) -> tuple[list[RawHeader], int]:
    count, place = _number(body, place)
    headers: list[RawHeader] = []
    for _ in range(count):
        size = body[place]
        if size < 0x80 and not size & 1:  # as in `_nullable`, which would take a third of the time of unpacking
            end = place + 1 + (size >> 1)
            name: bytes | None = body[place + 1 : end]
        else:
            name, end = _nullable(body, place)
        value, place = _nullable(body, end)
        if name is None:
            raise ValueError("name of a header")
        headers.append((name, value))
    return headers, place


def _nullable(body: bytes, place: int) -> tuple[bytes | None, int]:
    size = body[place]
    if size < 0x80 and not size & 1:  # most lengths: one byte, not negative
        place += 1
        end = place + (size >> 1)
        return body[place:end], end
    size, place = _number(body, place)
    if size < 0:
        return None, place
    return body[place : place + size], place + size


def _number(body: bytes, place: int) -> tuple[int, int]:
    rest = body[place]
    place += 1
    number, shift = rest & 0x7F, 0
    while rest & 0x80:
        rest, shift = body[place], shift + 7
        place += 1
        number |= (rest & 0x7F) << shift
    return (number >> 1) ^ -(number & 1), place
