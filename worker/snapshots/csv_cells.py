"""Text in CSV that no spreadsheet takes for a formula."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

FORMULA = "^[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
"""The beginning of a cell that spreadsheets evaluate (OWASP, CSV injection), full-width characters included."""


def as_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Put `'` before each text that begins like a formula. A negative number is left as it is."""
    columns = [_as_text(column) if _is_text(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _as_text(column: pa.Array[Any]) -> pa.Array[Any]:
    is_formula: pa.Array[Any] = pc.match_substring_regex(column, FORMULA)
    if not pc.any(is_formula).as_py():
        return column
    marked: pa.Array[Any] = pc.replace_substring_regex(column, f"({FORMULA})", r"'\1")
    return marked
