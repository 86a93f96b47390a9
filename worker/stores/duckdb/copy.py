"""Copies of a DuckDB file that no process has open, for dry runs."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from worker.stores.duckdb.file import MEMORY
from worker.stores.errors import NoStoreError, StoreError, StoreInUseError

PART_BYTES = 16 * 1024 * 1024
ROOM_TO_WORK_BYTES = 512 * 1024 * 1024  # the copy's own log, up to a checkpoint, and what that writes


@contextmanager
def copied(path: str, tell: Callable[[int, int], None]) -> Iterator[str]:
    """Copy the store at `path` into a directory beside it, which is removed afterwards; yields the path.

    `tell` is called with the bytes copied, and their total. What a killed process left of an earlier copy is removed.
    Raises `NoStoreError`, `StoreInUseError` when another process has the store or copies it, and `StoreError` when
    there is no room or the disk fails.
    """
    store = Path(path)
    if path == MEMORY or not store.exists():
        raise NoStoreError(f"there is no store {path}")
    with ExitStack() as cleanup:
        try:
            directory = cleanup.enter_context(_directory_beside(store))
            _copy(store, directory, tell)
        except OSError as error:
            raise StoreError(
                f"the store {path} cannot be copied into {store.name}.copy beside it: {error.strerror}"
            ) from error
        yield str(directory / store.name)


@contextmanager
def _directory_beside(store: Path) -> Iterator[Path]:
    """Create an empty directory that no other process uses; removed in the end."""
    directory = store.with_name(f"{store.name}.copy")
    directory.mkdir(mode=0o700, exist_ok=True)
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreInUseError(f"another process works on a copy of the store, in {directory}") from None
        try:
            for left in directory.iterdir():
                left.unlink()
            yield directory
        finally:
            shutil.rmtree(directory)
    finally:
        os.close(opened)


def _copy(store: Path, directory: Path, tell: Callable[[int, int], None]) -> None:
    """Copy the file, and whatever log a crash left beside it, under the lock that DuckDB itself would take."""
    with store.open("rb") as source:
        try:
            fcntl.lockf(source, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            raise StoreInUseError(f"the store {store} is in use by another process") from None
        logs = [file for file in store.parent.iterdir() if file.name.startswith(f"{store.name}.wal")]
        size = sum(file.stat().st_size for file in [store, *logs])
        _require_room(directory, size)
        copied = 0
        for file in logs:
            with file.open("rb") as log:
                copied = _copy_file(log, directory / file.name, copied, size, tell)
        # By the one descriptor that is open: closing a second one of the same file would give up the lock.
        _copy_file(source, directory / store.name, copied, size, tell)


def _copy_file(source: BinaryIO, target: Path, copied: int, size: int, tell: Callable[[int, int], None]) -> int:
    with target.open("xb") as copy:
        while part := source.read(PART_BYTES):
            copy.write(part)
            copied += len(part)
            tell(copied, size)
    return copied


def _require_room(directory: Path, size: int) -> None:
    free = shutil.disk_usage(directory).free
    if free < size + ROOM_TO_WORK_BYTES:
        needed, had = ((each + 999_999) // 1_000_000 for each in (size + ROOM_TO_WORK_BYTES, free))
        raise StoreError(
            f"the store is copied for a dry run, which takes {needed:,} MB of disk beside it, and {had:,} MB are free. "
            "Make room, or move a copy of the store to a larger disk and name it in CUSTOMER_WORKER_STORE__URL"
        )
