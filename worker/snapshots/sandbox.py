"""The process that runs a statement: it has rows of the public tables and limits, no files, no environment, no network.

It reads one request from standard input and writes to standard output: a line with the tables that the statement needs;
once these are in the file that it has inherited, the result as an Arrow IPC stream, and a last line. A failure is the
last line at any time.
"""

from __future__ import annotations

import io
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import IO, Any, cast

import duckdb
import msgspec
import pyarrow as pa

from worker.queries.snapshot import TableColumns
from worker.snapshots.received_tables import received, schema_of
from worker.snapshots.statement import Refused, needed_tables
from worker.stores.public_tables import COLUMNS

ROWS_AT_ONCE = 2_000
MESSAGE_CHARACTERS = 1_000
TEMPORARY_BYTES = 16 * 2**30
_PROCESS_BYTES = 2 * 2**30
"""Memory beside that of the database: libraries, a batch of rows."""
_GRACE_SECONDS = 1.0
"""From the interruption of a statement to the end of the process."""


class Request(msgspec.Struct, frozen=True):
    """A statement with its limits; `snapshot` is the descriptor of the file with its tables."""

    query: str
    max_rows: int
    timeout_seconds: float
    memory_mib: int
    snapshot: int
    directory: str


class Failure(StrEnum):
    """Kind of a failure: the statement is not accepted or failed, or it exceeded a limit."""

    REFUSED = "refused"
    TIME = "time"
    MEMORY = "memory"


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the answer."""

    tables: list[TableColumns] = []
    has_more: bool = False
    failed: Failure | None = None
    message: str = ""


def main() -> None:
    """Run one statement."""
    output = _only_output()
    request = msgspec.json.decode(sys.stdin.buffer.readline(), type=Request)
    _limit(request)
    try:
        db = open_database(request)
        with _time_limit(db, request.timeout_seconds):  # some functions are computed while names and types are checked
            tables = needed_tables(db, request.query)
            db.sql(request.query)
    except (duckdb.Error, Refused) as error:
        _write(output, _failed(error), begin=b"")
        return
    _write(output, Line(tables=tables), begin=b"")
    if not sys.stdin.buffer.readline():  # the command has ended
        return
    try:
        _run(db, request, tables, output)
    except MemoryError:
        _write(output, Line(failed=Failure.MEMORY))
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        _write(output, _failed(error))


def _only_output() -> IO[bytes]:
    """Return standard output, to which nothing else can write any more: libraries print to its descriptor."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123 - no path
        os.dup2(nothing.fileno(), sys.stdout.fileno())
    return output


def _failed(error: Exception) -> Line:
    message = str(error).partition("\n")[0]
    shown = "".join(each if each.isprintable() else "?" for each in message[:MESSAGE_CHARACTERS])
    return Line(failed=_kind(message), message=shown)


def _kind(message: str) -> Failure:
    """Return the kind of a failure. Arrow has the errors of the database as text."""
    if "INTERRUPT Error" in message:
        return Failure.TIME
    return Failure.MEMORY if "Out of Memory Error" in message or "malloc" in message else Failure.REFUSED


def _write(output: IO[bytes], line: Line, begin: bytes = b"\n") -> None:
    """Write a line. It begins on a new line where bytes of a result may come before it."""
    output.write(begin + msgspec.json.encode(line) + b"\n")
    output.flush()


def _limit(request: Request) -> None:
    """Set limits of the system behind those of the database."""
    memory = request.memory_mib * 2**20 + _PROCESS_BYTES
    limits = {
        resource.RLIMIT_DATA: memory,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_FSIZE: TEMPORARY_BYTES,
    }
    for limit, wanted in limits.items():
        hard = resource.getrlimit(limit)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(limit, (value, value))


def open_database(request: Request) -> duckdb.DuckDBPyConnection:
    """Open a locked database that has the public tables, without rows."""
    db = duckdb.connect(":memory:", config=_config(request))
    db.execute("SET lock_configuration = true")
    for table, columns in COLUMNS.items():
        db.execute(_create(TableColumns(table, list(columns))))
    return db


def _run(db: duckdb.DuckDBPyConnection, request: Request, tables: Sequence[TableColumns], output: IO[bytes]) -> None:
    with os.fdopen(request.snapshot, "rb") as file:
        for table in tables:
            _load(db, table, file)
    with _time_limit(db, request.timeout_seconds):
        db.execute("BEGIN TRANSACTION READ ONLY")
        _stream(db.sql(request.query).limit(request.max_rows + 1), request.max_rows, output)


def _config(request: Request) -> dict[str, Any]:
    return {
        "enable_external_access": False,
        "autoload_known_extensions": False,
        "autoinstall_known_extensions": False,
        "allow_community_extensions": False,
        "allow_unsigned_extensions": False,
        "allow_persistent_secrets": False,
        "python_enable_replacements": False,
        "preserve_insertion_order": False,
        "threads": min(4, os.cpu_count() or 1),
        "memory_limit": f"{request.memory_mib}MiB",
        "temp_directory": request.directory,
        "max_temp_directory_size": f"{TEMPORARY_BYTES}B",
    }


_TYPES = {
    "customer_id": "UUID",
    "event_id": "UUID",
    "mrr": "DECIMAL(18, 6)",
    "lost_arr": "DECIMAL(18, 2)",
    "signup_date": "DATE",
    "churn_date": "DATE",
    "at": "TIMESTAMP",
    "partition": "INTEGER",
    "offset": "BIGINT",
    "tenure_days": "INTEGER",
    "is_early_stage": "BOOLEAN",
}


def _create(table: TableColumns) -> str:
    columns = ", ".join(f'"{name}" {_TYPES.get(name, "VARCHAR")}' for name in table.columns)
    return f"CREATE OR REPLACE TABLE {table.table} ({columns})"


def _load(db: duckdb.DuckDBPyConnection, table: TableColumns, file: IO[bytes]) -> None:
    rows = pa.RecordBatchReader.from_batches(schema_of(table.columns), received(file, table))
    columns = ", ".join(f'"{name}"::{_TYPES.get(name, "VARCHAR")}' for name in table.columns)
    db.execute(_create(table))
    db.register("received", rows)
    db.execute(f"INSERT INTO {table.table} SELECT {columns} FROM received")  # noqa: S608 - names of the contract
    db.unregister("received")


@contextmanager
def _time_limit(db: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """Interrupt the statement after the time; if it does not end, the system ends the process."""
    signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE_SECONDS)
    timer = threading.Timer(seconds, db.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        signal.setitimer(signal.ITIMER_REAL, 0)


def _stream(result: duckdb.DuckDBPyRelation, max_rows: int, output: IO[bytes]) -> None:
    reader = result.to_arrow_reader(ROWS_AT_ONCE)
    rows = 0
    with pa.ipc.new_stream(pa.PythonFile(cast("io.IOBase", output), mode="w"), reader.schema) as stream:
        for batch in reader:
            stream.write_batch(batch.slice(0, max(0, max_rows - rows)))
            rows += batch.num_rows
    _write(output, Line(has_more=rows > max_rows))


if __name__ == "__main__":
    main()
