"""Snapshot of whole public tables: the query, and its result.

The result is one Arrow IPC stream per table, in the order of the query, and a trailer: the reason why the result is
incomplete, empty if it is complete, then the length of the reason in 4 bytes.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from datetime import datetime
from typing import IO

import msgspec
from typing_extensions import Buffer

from worker.stores.public_tables import COLUMNS, PublicTable
from worker.stores.reading import StoreView

_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_LENGTH = struct.Struct("<I")


class TableColumns(msgspec.Struct, frozen=True):
    """Columns of a table. Of `churned`, whole events are streamed, whatever the columns."""

    table: PublicTable
    columns: list[str]

    def __post_init__(self) -> None:
        if not self.columns or not set(self.columns) <= set(COLUMNS[self.table]):
            raise ValueError(f"the columns of {self.table.value} are {', '.join(COLUMNS[self.table])}")


class SnapshotQuery(msgspec.Struct, frozen=True):
    """Selection of tables, all as of the same moment: now, or the state at `as_of` by the journal."""

    tables: list[TableColumns]
    as_of: datetime | None = None


def parts_of(view: StoreView, query: SnapshotQuery) -> Iterator[Buffer]:
    """Yield the result without its trailer in parts. Raises `StoreError`."""
    for each in query.tables:
        schema, batches = view.stream(each.table, each.columns, query.as_of)
        yield schema.serialize()
        for batch in batches:
            yield batch.serialize()
        yield _END_OF_STREAM


def trailer(reason: str = "") -> bytes:
    """Return the end of a result."""
    encoded = reason.encode()
    return encoded + _LENGTH.pack(len(encoded))


def reason_in(file: IO[bytes]) -> str:
    """Return the reason in the trailer of a received result."""
    end = file.seek(-_LENGTH.size, io.SEEK_END)
    (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
    file.seek(end - length)
    return file.read(length).decode()
