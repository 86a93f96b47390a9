"""Export of a public table to a Parquet or CSV file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from worker.queries.snapshot import SnapshotQuery
from worker.queries.snapshot_client import take_snapshot
from worker.settings import Settings
from worker.snapshots.csv_cells import as_text
from worker.snapshots.new_file import new_file, write_failed
from worker.snapshots.received_tables import received, schema_of

ROWS_OF_A_GROUP = 100_000
"""Rows of a row group in Parquet, which are in memory at the same time."""

Progress = Callable[[int, int | None], object]


class Exported(NamedTuple):
    """The rows and bytes of a file."""

    rows: int
    bytes: int


def export(
    settings: Settings, query: SnapshotQuery, path: Path, progress: Progress, *, replaces: bool = False
) -> Exported:
    """Write the one table of the query to `path`; the suffix is the format.

    The rows are received in a temporary file first, so that the store is soon free. `progress` is called with the bytes
    received, then with the bytes of them that are written. Raises `Refusal`, and `FileExistsError` as `new_file` does.
    """
    write = _FORMATS[path.suffix.lower()]
    try:
        with new_file(path, replaces=replaces) as file, tempfile.TemporaryFile(dir=path.parent) as snapshot:
            take_snapshot(settings, query, snapshot, lambda done: progress(done, None))
            [wanted] = query.tables
            rows = write(file, schema_of(wanted.columns), _reported(received(snapshot, wanted), snapshot, progress))
            return Exported(rows, file.seek(0, os.SEEK_END))
    except FileExistsError:
        raise
    except OSError as error:
        raise write_failed(path, error) from error


def _reported(batches: Iterable[pa.RecordBatch], snapshot: IO[bytes], progress: Progress) -> Iterator[pa.RecordBatch]:
    total = os.fstat(snapshot.fileno()).st_size
    for batch in batches:
        progress(snapshot.tell(), total)
        yield batch


def _write_parquet(file: IO[bytes], schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    rows = 0
    group: list[pa.RecordBatch] = []
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in batches:
            group.append(batch)
            rows += batch.num_rows
            if sum(each.num_rows for each in group) >= ROWS_OF_A_GROUP:
                writer.write_table(pa.Table.from_batches(group, schema))
                group.clear()
        if group:
            writer.write_table(pa.Table.from_batches(group, schema))
    return rows


def _write_csv(file: IO[bytes], schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    rows = 0
    with csv.CSVWriter(file, schema) as writer:
        for batch in batches:
            writer.write_batch(as_text(batch))
            rows += batch.num_rows
    return rows


_FORMATS = {".parquet": _write_parquet, ".csv": _write_csv}
FORMATS = tuple(_FORMATS)
