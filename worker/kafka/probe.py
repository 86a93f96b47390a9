"""Probe of one address of Kafka, step by step on a plain socket: TCP, TLS, the Kafka protocol, SASL.

A client library reports one error for all of these. Blocking sockets report the TLS alert of the other side, which the
streams of asyncio lose.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

PROBE_SECONDS = 5.0
"""For each step of a probe."""

_API_VERSIONS, _SASL_HANDSHAKE = 18, 17
_ILLEGAL_SASL_STATE = 34
_HANDSHAKE_VERSION = 1
_CORRELATION_BYTES = 4
_LARGEST_ANSWER = 1024 * 1024


class Address(NamedTuple):
    """Host and port of a broker."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class NotKafka(Exception):
    """An answer in another protocol than Kafka's."""


def probe(address: Address, context: ssl.SSLContext | None, mechanism: str | None) -> list[str] | None:
    """Connect and speak Kafka's protocol; `context` is None without TLS.

    Returns the SASL mechanisms of the listener, None without SASL.
    Raises `OSError` (`ssl.SSLError` among them), `EOFError` if the connection was closed, or `NotKafka`.
    """
    with _connected(address, context) as connection:
        _ask(connection, _API_VERSIONS, 0, b"")
        name = (mechanism or "PLAIN").encode()
        answer = _ask(connection, _SASL_HANDSHAKE, _HANDSHAKE_VERSION, struct.pack(">h", len(name)) + name)
    (error,) = struct.unpack_from(">h", answer)
    return None if error == _ILLEGAL_SASL_STATE else list(_strings(answer[2:]))


def speaks_tls(address: Address) -> bool:
    """Return whether the address answers a TLS handshake in TLS, with any certificate or alert."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with _connected(address, context):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except (OSError, EOFError):
        return False


def speaks_plaintext(address: Address) -> bool:
    """Return whether Kafka answers without TLS."""
    try:
        with _connected(address, None) as connection:
            _ask(connection, _API_VERSIONS, 0, b"")
            return True
    except (OSError, EOFError, NotKafka):
        return False


@contextmanager
def _connected(address: Address, context: ssl.SSLContext | None) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=PROBE_SECONDS) as plain:
        if context is None:
            yield plain
            return
        with context.wrap_socket(plain, server_hostname=address.host) as secured:
            yield secured


def _ask(connection: socket.socket, api: int, version: int, body: bytes) -> bytes:
    """Send one request and read the body of its answer."""
    header = struct.pack(">hhih", api, version, 1, -1)  # correlation id 1, no client id
    connection.sendall(struct.pack(">i", len(header + body)) + header + body)
    (size,) = struct.unpack(">i", _read(connection, 4))
    if not _CORRELATION_BYTES <= size <= _LARGEST_ANSWER:
        raise NotKafka("the server does not speak Kafka's protocol")
    answer = _read(connection, size)
    if answer[:_CORRELATION_BYTES] != struct.pack(">i", 1):
        raise NotKafka("the server does not speak Kafka's protocol")
    return answer[_CORRELATION_BYTES:]


def _read(connection: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size:
        part = connection.recv(size - len(read))
        if not part:
            raise EOFError
        read += part
    return read


def _strings(content: bytes) -> Iterator[str]:
    """Encode an array of strings in Kafka's protocol."""
    (count,) = struct.unpack_from(">i", content)
    at = 4
    for _ in range(count):
        (length,) = struct.unpack_from(">h", content, at)
        yield content[at + 2 : at + 2 + length].decode(errors="replace")
        at += 2 + length
