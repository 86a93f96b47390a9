"""Paths of Unix sockets: the system limits an address to 107 bytes, while paths of stores have no such limit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

ADDRESS_BYTES = 103
"""The shortest limit among the supported systems, without the final NUL."""
_NAME_BYTES = 64


def socket_beside(file: Path) -> Path:
    """Return the path of the socket that belongs to a file: hidden, so that copies of `FILE*` do not include it."""
    file = file.resolve()
    name = f".{file.name}.sock"
    if len(os.fsencode(name)) > _NAME_BYTES:
        name = f".{sha256(os.fsencode(file.name)).hexdigest()[:32]}.sock"
    return file.with_name(name)


@contextmanager
def address_of(path: Path) -> Iterator[str]:
    """Yield an address of the socket at `path`. Raises `OSError` if its directory does not exist.

    A path that is too long is addressed by the descriptor of its directory, which Linux has in `/proc`. The socket is
    at its own path in either case, so that the permissions of the directory apply.
    """
    if len(os.fsencode(path)) <= ADDRESS_BYTES:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
