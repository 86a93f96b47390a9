"""Results of `customer-worker sql`, printed as a table, as JSON and as CSV."""

from __future__ import annotations

import csv
import math
import re
import sys
from collections.abc import Iterator
from datetime import date, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
from rich.table import Table
from rich.text import Text

from worker.cli.printable import json_line, printable
from worker.cli.shared import print_error, print_line
from worker.cli.tables import print_table
from worker.snapshots.csv_cells import FORMULA
from worker.snapshots.sql import Result

_IS_FORMULA = re.compile(FORMULA).match
_CUT = "… and more rows (--limit)"


def print_rows(result: Result) -> None:
    """Print a table."""
    table = Table(box=None, pad_edge=False)
    for field in result.rows.schema:
        table.add_column(Text(printable(field.name)), justify="right" if _is_number(field.type) else "left")
    for row in _rows(result):
        table.add_row(*(Text(printable(_text(value))) for value in row))
    print_table(table)
    if result.has_more:
        print_line(_CUT)


def print_json(result: Result) -> None:
    """Print one line: the rows as objects, and whether rows were left out."""
    names = result.rows.schema.names
    rows = [dict(zip(names, map(_plain, row), strict=True)) for row in _rows(result)]
    print(json_line({"rows": rows, "has_more": result.has_more}))


def print_csv(result: Result) -> None:
    """Print CSV in which no text is a formula."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_cell(name) for name in result.rows.schema.names)
    for row in _rows(result):
        writer.writerow(_cell(value) for value in row)
    if result.has_more:
        print_error(_CUT)


def _rows(result: Result) -> Iterator[tuple[Any, ...]]:
    for batch in result.rows:
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: amounts, times and what JSON lacks are text."""
    plain: Any
    match value:
        case None | bool() | int() | str():
            plain = value
        case dict():
            plain = {str(name): _plain(each) for name, each in value.items()}
        case pa.MonthDayNano():
            plain = f"P{value.months}M{value.days}DT{value.nanoseconds / 1e9:g}S"
        case list() | tuple():
            plain = [_plain(each) for each in value]
        case float():
            plain = value if math.isfinite(value) else str(value)
        case Decimal():
            plain = str(value) if value.as_tuple().exponent else int(value)  # integers of any size are decimals
        case date() | time():  # a datetime is a date
            plain = value.isoformat()
        case bytes():
            plain = value.hex()
        case _:
            plain = str(value)
    return plain


def _text(value: Any) -> str:
    plain = _plain(value)
    if plain is None:
        return ""
    if isinstance(plain, bool | dict | list):
        return json_line(plain)
    return str(plain)


def _cell(value: Any) -> str:
    text = _text(value)
    return f"'{text}" if isinstance(value, str) and _IS_FORMULA(text) else text
