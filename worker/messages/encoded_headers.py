"""Headers of events as bytes of Kafka's record format (version 2), which outbox and record batches take unchanged.

Encoded headers are a mark, the number of headers as one byte, and per header: length of the name, name, length of the
value, value. Lengths are zigzag varints, and that of a null value is -1.
"""

from __future__ import annotations

from collections.abc import Sequence

from worker.messages.record import Header

MARK = 0xC1
"""The first byte. MessagePack never uses it, so it differs from headers stored as MessagePack."""
COUNT_AT, HEADERS_AT = 1, 2
"""Places of the number of headers and of the headers."""


def varint(number: int) -> bytes:
    """Encode a number as a zigzag varint."""
    rest = number << 1 if number >= 0 else ~(number << 1)
    encoded = bytearray()
    while rest > 0x7F:  # noqa: PLR2004 - seven bits per byte
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


VARINTS = [varint(number) for number in range(8 * 1024)]
"""The varints of numbers from 0, which most lengths are: an index takes a tenth of the time of a call."""


def encoded_name(name: str) -> bytes:
    """Encode the name of a header, with its length."""
    encoded = name.encode()
    return varint(len(encoded)) + encoded


def encode(headers: Sequence[Header]) -> bytes:
    """Encode headers with names in UTF-8."""
    parts = [bytes((MARK, len(headers)))]
    for name, value in headers:
        parts += (encoded_name(name), varint(-1 if value is None else len(value)), value or b"")
    return b"".join(parts)


def decode(encoded: bytes) -> list[Header]:
    """Decode the headers that `encode` has encoded."""
    headers: list[Header] = []
    at = HEADERS_AT
    for _ in range(encoded[COUNT_AT]):
        length, at = _read_varint(encoded, at)
        name, at = encoded[at : at + length].decode(), at + length
        length, at = _read_varint(encoded, at)
        headers.append((name, encoded[at : at + length] if length >= 0 else None))
        at += max(length, 0)
    return headers


def _read_varint(encoded: bytes, at: int) -> tuple[int, int]:
    """Return the zigzag varint at this place, and the place behind it."""
    shifted = shift = 0
    while (byte := encoded[at]) & 0x80:
        shifted |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
    shifted |= byte << shift
    return shifted >> 1 ^ -(shifted & 1), at + 1
