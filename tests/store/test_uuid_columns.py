"""Columns of ids that are UUIDs already reach DuckDB as the text of those ids does."""

from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.builders import ADA, BOB
from worker.stores.duckdb.uuid_fast_path import uuids

MOVED_HYPHEN = f"{ADA[:7]}-{ADA[7]}{ADA[9:]}"
ODD_IDS = [ADA.upper(), ADA.replace("-", ""), f"{{{ADA}}}", ADA[:-1], "", MOVED_HYPHEN]
IDS = st.uuids().map(str) | st.none() | st.sampled_from(ODD_IDS)


def cast(ids: "pa.Array[Any]") -> list[tuple[str | None]] | str:
    """Return the column as DuckDB stores it, or its error."""
    with duckdb.connect() as db:
        db.register("batch", pa.table({"id": ids}))
        try:
            return db.execute("SELECT id::UUID::VARCHAR FROM batch").fetchall()
        except duckdb.ConversionException as refused:
            return str(refused)


@given(st.lists(st.uuids().map(str), max_size=5) | st.lists(IDS, max_size=5))
@example([ADA[:-1], f"7{BOB}"])
@example([None])
@example([MOVED_HYPHEN])
def test_ids_are_cast_as_their_text_is(ids: list[str | None]) -> None:
    assert cast(uuids(ids)) == cast(pa.array(ids, pa.string()))


def test_canonical_ids_are_uuids_already() -> None:
    assert uuids([ADA, BOB]).type == pa.uuid()
