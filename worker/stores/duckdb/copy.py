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
ROOM_TO_WORK_BYTES = 512 * 1024 * 1024  # the copy's own log up to a checkpoint, and the writes of that


@contextmanager
def copied(path: str, progress: Callable[[int, int], None]) -> Iterator[str]:
    """Copy the store at `path` into a directory beside it, which is removed afterwards; yields the path.

    `progress` is called with the bytes copied and the total. Files left of an earlier copy by a killed process are
    removed. Raises `NoStoreError`, `StoreInUseError` if another process has the store open or copies it, and
    `StoreError` if there is no room or the disk fails.
    """
    store = Path(path)
    if path == MEMORY or not store.exists():
        raise NoStoreError(f"there is no store {path}")
    with ExitStack() as cleanup:
        try:
            directory = cleanup.enter_context(_directory_beside(store))
            _copy(store, directory, progress)
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


def _copy(store: Path, directory: Path, progress: Callable[[int, int], None]) -> None:
    """Copy the file and the log that a crash may have left, under the lock that DuckDB itself would take."""
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
                copied = _copy_file(log, directory / file.name, copied, size, progress)
        # With the open descriptor: closing a second one of the same file would release the lock.
        _copy_file(source, directory / store.name, copied, size, progress)


def _copy_file(source: BinaryIO, target: Path, copied: int, size: int, progress: Callable[[int, int], None]) -> int:
    with target.open("xb") as copy:
        while part := source.read(PART_BYTES):
            copy.write(part)
            copied += len(part)
            progress(copied, size)
    return copied


def _require_room(directory: Path, size: int) -> None:
    free = shutil.disk_usage(directory).free
    if free < size + ROOM_TO_WORK_BYTES:
        needed, had = ((each + 999_999) // 1_000_000 for each in (size + ROOM_TO_WORK_BYTES, free))
        raise StoreError(
            f"no room for the copy of the store that a dry run uses: it needs {needed:,} MB of disk beside the store, "
            f"{had:,} MB are free. Free disk space, or copy the store to a larger disk and set "
            "CUSTOMER_WORKER_STORE__URL"
        )
