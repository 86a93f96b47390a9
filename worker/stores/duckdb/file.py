"""Opening of a DuckDB file: with restricted configuration, of the required version, every block verified."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import duckdb

from worker.error_messages import message_of
from worker.stores.errors import NoStoreError, StoreDamagedError, StoreError, StoreInUseError
from worker.stores.migrations import migrations, newest_version, require_version


class AtPath(Protocol):
    """An object of a store at a path."""

    path: str


S = TypeVar("S", bound=AtPath)
P = ParamSpec("P")
R = TypeVar("R")

MEMORY = ":memory:"
FOUND_BY_INDEX = 2_048
"""DuckDB's `index_scan_max_count`."""
_DAMAGED_ADVICE = "Restore a backup, or delete it to rebuild it"
_CONFIG: dict[str, Any] = {
    "threads": 1,
    "enable_external_access": False,
    "autoload_known_extensions": False,
    "autoinstall_known_extensions": False,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
    "python_enable_replacements": False,
    "wal_autocheckpoint": "1TB",  # the store decides instead, between batches
    "memory_limit": "4GB",
    "max_temp_directory_size": "16GB",
}


def open_file(path: str) -> duckdb.DuckDBPyConnection:
    """Open the store at `path`, and create it if it does not exist.

    Raises `StoreInUseError` if another process has it open, `StoreDamagedError` if it cannot be read, and `StoreError`
    if it is no store, has another version, or cannot be opened.
    """
    os.umask(0o077)  # customers are readable by this user only; permanent, as each checkpoint creates a new log
    try:
        db = duckdb.connect(path, config=_CONFIG)
        _use_index(db)
        db.execute("SET lock_configuration = true")
        _migrate(db, from_nothing_only=True)
        version = _stored_version(db)
        _require_readable(db)
    except duckdb.Error as error:
        raise _explain_opening(error, path) from error
    return _require_version(db, path, version)


def open_to_read(path: str) -> duckdb.DuckDBPyConnection:
    """Open the store at `path` for reading. No file is changed, not even a log left by a crash.

    Blocks are verified as they are read. Raises `NoStoreError` if there is no store, else as `open_file` does.
    """
    if path == MEMORY or not Path(path).exists():
        raise NoStoreError(f"there is no store {path}")
    try:
        db = duckdb.connect(path, read_only=True, config=_CONFIG)
        db.execute("SET lock_configuration = true")
        if not _has_tables(db):
            db.close()
            raise NoStoreError(f"the store {path} is empty")
        version = _stored_version(db)
    except duckdb.Error as error:
        raise _explain_opening(error, path) from error
    return _require_version(db, path, version)


def _use_index(db: duckdb.DuckDBPyConnection) -> None:
    """Let joins of a batch with `customers` use the index, instead of reading all ids.

    DuckDB uses the index for up to 2,048 ids, or a thousandth of the rows, but of a join makes a list of ids only below
    this threshold. A longer list without the index is slower than reading all ids. 4,000 new ids among 8 M customers
    take 14 ms with the index, 43 without; 4,000 known ones 25 and 48, and their update 38 and 55.
    """
    query = "SELECT estimated_size FROM duckdb_tables() WHERE table_name = 'customers'"
    customers = max((rows for (rows,) in db.execute(query).fetchall()), default=0)
    db.execute(f"SET dynamic_or_filter_threshold = {max(FOUND_BY_INDEX, customers // 1000)}")


@contextmanager
def only_redrive(path: str) -> Iterator[None]:
    """Hold the lock that admits one redrive per store. Raises `StoreInUseError` if another process holds it."""
    directory = os.open(Path(path).parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise StoreInUseError(f"another redrive runs beside the store {path}") from None
    finally:
        os.close(directory)  # which ends the lock, as the end of the process does


def open_nothing() -> duckdb.DuckDBPyConnection:
    """Open a database in memory, for computations."""
    return duckdb.connect(MEMORY, config=_CONFIG)


def _explain_opening(error: duckdb.Error, path: str) -> StoreError:
    explained = explain(error, path)
    if isinstance(explained, StoreInUseError | StoreDamagedError) or "Cannot open file" in str(error):
        return explained
    return StoreError(f"{explained}. {_DAMAGED_ADVICE}")


def _require_version(db: duckdb.DuckDBPyConnection, path: str, version: int) -> duckdb.DuckDBPyConnection:
    try:
        require_version(path, version, newest_version("duckdb"))
    except StoreError:
        db.close()
        raise
    return db


def _migrate(db: duckdb.DuckDBPyConnection, *, from_nothing_only: bool = False) -> tuple[int, int]:
    """Migrate the tables to this worker's version in one transaction; returns the version before and after."""
    before = _stored_version(db) if _has_tables(db) else 0
    due = [] if before and from_nothing_only else migrations("duckdb", before)
    if due:
        db.execute("BEGIN")
        for step in due:
            db.execute(step.sql)
            db.execute("UPDATE store_version SET version = ?", [step.version])
        db.execute("COMMIT")
    return before, due[-1].version if due else before


def migrate_file(path: str) -> tuple[int, int]:
    """Migrate the store at `path` to this worker's version, created if it does not exist; returns the versions.

    Raises `StoreInUseError` if a worker has it open, else as `open_file` does.
    """
    os.umask(0o077)
    try:
        with closing(duckdb.connect(path, config=_CONFIG)) as db:
            _require_readable(db)
            before, after = _migrate(db)
            require_version(path, after, newest_version("duckdb"))
            return before, after
    except duckdb.Error as error:
        raise _explain_opening(error, path) from error


def _stored_version(db: duckdb.DuckDBPyConnection) -> int:
    return int(db.execute("SELECT version FROM store_version").fetchall()[0][0])


def _has_tables(db: duckdb.DuckDBPyConnection) -> bool:
    return bool(db.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'store_version'").fetchall())


def _require_readable(db: duckdb.DuckDBPyConnection) -> None:
    """Read every block that is in use, which verifies its checksum: else damage would be found at the first use.

    Raises the driver's error if a block is damaged.
    """
    for (table,) in db.execute("SELECT table_name FROM duckdb_tables()").fetchall():
        db.execute(f"SELECT bit_xor(hash({table})) FROM {table}").fetchall()


def identity(db: duckdb.DuckDBPyConnection, path: str) -> str:
    """Return the identity of this file: the id of the store, and the inode, which a copy does not share."""
    store_id = db.execute("SELECT id::VARCHAR FROM store_version").fetchall()[0][0]
    return f"{store_id}:{0 if path == MEMORY else Path(path).stat().st_ino}"


def explain(error: duckdb.Error, path: str) -> StoreError:
    """Describe the driver's error for operators. Values are left out: they are about customers."""
    whole = str(error).partition("\n")[0]
    text = (message_of(error) or type(error).__name__).partition("\n")[0]
    if "Could not set lock" in whole:
        return StoreInUseError(
            f"the store {path} is in use by another process. Stop that process first, "
            "or set another store (CUSTOMER_WORKER_STORE__URL)"
        )
    if "Cannot open file" in whole:
        return StoreError(f"the store {path} cannot be opened: {text}. Check that its directory exists and is writable")
    if "Corrupt database file" in whole:
        return StoreDamagedError(f"the store {path} is damaged ({text}). {_DAMAGED_ADVICE}")
    if isinstance(error, duckdb.FatalException):
        return StoreError(f"the store {path} failed and must be reopened: {text}")
    return StoreError(f"the store {path} failed: {text}")


def wrap_errors(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Raise the driver's errors as `StoreError`."""

    @wraps(method)
    def wrapped(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except duckdb.Error as error:
            raise explain(error, self.path) from error

    return wrapped
