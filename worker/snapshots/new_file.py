"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from worker.errors import Exit, Refusal


@contextmanager
def new_file(path: Path, *, replaces: bool) -> Iterator[IO[bytes]]:
    """Yield a temporary file beside `path`, which is renamed to `path` if the block succeeds, else deleted.

    Raises `FileExistsError` if `path` exists and must not be replaced, also if it was created meanwhile. Only this user
    can read the file.
    """
    if not replaces and os.path.lexists(path):
        raise FileExistsError(path)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        _rename(temporary, path, replaces=replaces)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _rename(temporary: Path, path: Path, *, replaces: bool) -> None:
    if replaces:
        temporary.replace(path)
    else:
        path.hardlink_to(temporary)  # unlike a rename, it fails if the path exists


def write_failed(path: Path, error: OSError) -> Refusal:
    """Describe why a file could not be written."""
    reason = error.strerror or type(error).__name__
    return Refusal(
        f"{path} was not written: {reason}. Check that its directory exists, is writable and has room, or name another",
        Exit.NO,
    )
