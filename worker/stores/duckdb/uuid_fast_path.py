"""Columns of UUIDs: 0.03 µs less per id and statement than text that DuckDB has to parse.

tests/store/test_uuid_columns.py compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from worker.messages.uuid_fast_path import are_canonical_uuids


def uuids(ids: Sequence[str | None]) -> pa.Array[Any]:
    """Return a column for `::UUID`: UUIDs if all ids are canonical, else text, which DuckDB casts or refuses."""
    known = [each for each in ids if each is not None]
    if len(known) < len(ids) or not are_canonical_uuids(known):
        return pa.array(ids, pa.string())
    values = pa.py_buffer(bytes.fromhex("".join(known).replace("-", "")))
    return pa.ExtensionArray.from_storage(pa.uuid(), pa.Array.from_buffers(pa.binary(16), len(ids), [None, values]))
