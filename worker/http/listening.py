"""The listening socket of the HTTP server. Opened before the worker joins its group, it loads no framework."""

from __future__ import annotations

import errno
import socket

from worker.addresses import EVERY_ADDRESS, shown_address
from worker.errors import Exit, Refusal
from worker.settings import Http


def listen(http: Http) -> socket.socket:
    """Open the listening socket. Raises `Refusal` if the address is not available."""
    try:
        found = socket.getaddrinfo(http.host, http.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # A name with addresses of both kinds, such as localhost, is taken as its IPv4 address.
        family, *_, address = min(found, key=lambda each: each[0] != socket.AF_INET)
        # `::` includes the IPv4 addresses if the system supports dual-stack sockets.
        both = http.host == EVERY_ADDRESS and socket.has_dualstack_ipv6()
        return socket.create_server(address, family=family, dualstack_ipv6=both)
    except OSError as error:
        cause = (error.strerror or "").partition(" (")[0]  # Python appends the address as a tuple
        raise Refusal(
            f"HTTP cannot listen on {shown_address(http.host, http.port)}: {cause}. {_advice(error)}",
            Exit.CONFIGURATION,
        ) from error


def _advice(error: OSError) -> str:
    if error.errno in {errno.EADDRINUSE, errno.EACCES}:
        way = "Set CUSTOMER_WORKER_HTTP__PORT to another port (0 picks a free one)"
    else:
        way = (
            "Set CUSTOMER_WORKER_HTTP__HOST to an address of this machine: 127.0.0.1 or ::1 for this machine alone, "
            "0.0.0.0 for every IPv4 address, :: for every address"
        )
    return f"{way}, or CUSTOMER_WORKER_HTTP__ENABLED=false"
