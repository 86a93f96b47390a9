"""Kafka's record batches (version 2), written out from their definition, so that any bytes can stand in any place."""

import struct
from collections.abc import Callable, Sequence

from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.record.util import calc_crc32c

RawHeader = tuple[bytes, bytes | None]
RawRecord = tuple[bytes | None, bytes | None, Sequence[RawHeader]]
"""Key, value and headers; names are bytes."""

CODECS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "none": (0, bytes),
    "gzip": (1, gzip_encode),
    "snappy": (2, snappy_encode),
    "lz4": (3, lz4_encode),
    "zstd": (4, zstd_encode),
}
FIRST_TIMESTAMP = 1_700_000_000_000
TRANSACTIONAL = 0x10
CONTROL = 0x20


def record_batch(
    records: Sequence[RawRecord], codec: str = "none", *, base_offset: int = 0, flags: int = 0, epoch: int = -1
) -> bytes:
    """Encode the records as a broker would send them; each is one millisecond after the one before."""
    number, compress = CODECS[codec]
    body = compress(b"".join(_record(place, *record) for place, record in enumerate(records)))
    last = len(records) - 1
    checked = struct.pack(
        ">hiqqqhii", number | flags, last, FIRST_TIMESTAMP, FIRST_TIMESTAMP + last, 7, 0, 0, len(records)
    )
    checked += body
    crc = calc_crc32c(checked)
    return struct.pack(">qiibI", base_offset, 4 + 1 + 4 + len(checked), epoch, 2, crc) + checked


def _record(place: int, key: bytes | None, value: bytes | None, headers: Sequence[RawHeader]) -> bytes:
    content = b"\0" + _varint(place) + _varint(place) + _nullable(key) + _nullable(value) + _varint(len(headers))
    content += b"".join(_nullable(name) + _nullable(text) for name, text in headers)
    return _varint(len(content)) + content


def _nullable(value: bytes | None) -> bytes:
    return _varint(-1) if value is None else _varint(len(value)) + value


def _varint(number: int) -> bytes:
    rest = number << 1 if number >= 0 else (-number << 1) - 1
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)
