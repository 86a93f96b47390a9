"""`export`: typed Parquet and harmless CSV, whole files or none."""

from __future__ import annotations

import csv
import signal
import stat
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tests.support.builders import ADA, BOB, CANCELLATIONS, SIGNUPS, apply, cancellation, signup
from tests.support.processes import MODULE, run_process
from tests.support.worker_process import environment, module_command
from tests.worker.clock import NOON, Clock
from worker.cli.main import command_line
from worker.errors import Exit
from worker.queries.snapshot import SnapshotQuery, TableColumns
from worker.settings import Settings, Store
from worker.snapshots.csv_cells import as_text
from worker.snapshots.export import export
from worker.snapshots.new_file import new_file
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.public_tables import COLUMNS, PublicTable

HAMPERED = "tests.worker.hampered_export"
FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "=", "-"]
TEXTS = ["", "1", "a=1", "'=1", " =1", "é", 'a "b", c', "two\nlines", "x\r\n=y"]
REASON = "=cmd|' /C calc'!A0\n\"x\", é"
DAY = date(2026, 1, 15)
CUSTOMERS = [
    (ADA, "FinTech", "growth", DAY, Decimal("83.333333"), date(2026, 6, 30)),
    (BOB, "FinTech", "growth", DAY, Decimal("499.000000"), None),
]
CHURNED = [
    (ADA, DAY, date(2026, 6, 30), 166, False, "FinTech", "growth", Decimal("83.333333"), Decimal("1000.00"), REASON)
]
LATER = NOON + timedelta(hours=1)
JOURNAL = [
    (NOON, SIGNUPS, 0, 0, ADA, "applied", None),
    (NOON, SIGNUPS, 0, 1, BOB, "applied", None),
    (LATER, CANCELLATIONS, 0, 0, ADA, "applied", None),
    (LATER, SIGNUPS, 0, 2, None, "rejected", "malformed"),
]


@pytest.fixture(autouse=True)
def _store(tmp_path: Path) -> None:
    clock = Clock()
    store = DuckDBStore(str(tmp_path / "customers.duckdb"), clock)
    apply(store, [signup(0, mrr='"83.333333"'), signup(1, BOB)])
    clock.now = LATER
    broken = msgspec.structs.replace(signup(2), value=b"x")
    apply(store, [cancellation(0, reason=msgspec.json.encode(REASON).decode()), broken])
    store.close()


def exported(path: Path, table: PublicTable, as_of: datetime | None = None) -> int:
    """Export a table; returns the number of rows."""
    settings = Settings(store=Store.model_validate({"url": f"duckdb:///{path.parent / 'customers.duckdb'}"}))
    query = SnapshotQuery([TableColumns(table, list(COLUMNS[table]))], as_of)
    done = export(settings, query, path, lambda _, __: None)
    assert done.bytes == path.stat().st_size
    return done.rows


def parquet(path: Path) -> list[tuple[Any, ...]]:
    return sorted((tuple(row.values()) for row in pq.read_table(path).to_pylist()), key=str)


@pytest.mark.parametrize(("table", "rows"), [
    (PublicTable.CUSTOMERS, CUSTOMERS), (PublicTable.CHURNED, CHURNED), (PublicTable.JOURNAL, JOURNAL),
])  # fmt: skip
def test_parquet_has_every_column_typed(tmp_path: Path, table: PublicTable, rows: Sequence[tuple[Any, ...]]) -> None:
    path = tmp_path / "table.parquet"
    assert exported(path, table) == len(rows)
    assert tuple(pq.read_schema(path).names) == COLUMNS[table]
    found = parquet(path)
    assert [row[: len(rows[0])] for row in found] == sorted(rows, key=str)


def test_csv_has_the_same_values_as_text(tmp_path: Path) -> None:
    path = tmp_path / "table.CSV"
    assert exported(path, PublicTable.CHURNED) == 1
    with path.open(newline="") as file:
        header, row = csv.reader(file)
    assert tuple(header) == COLUMNS[PublicTable.CHURNED]
    assert row == [
        ADA, "2026-01-15", "2026-06-30", "166", "false", "FinTech", "growth", "83.333333", "1000.00", f"'{REASON}"
    ]  # fmt: skip
    exported(tmp_path / "journal.csv", PublicTable.JOURNAL)
    assert (
        f'2026-07-01 12:00:00.000000Z,"{SIGNUPS}",0,0,"{ADA}","applied",,\n' in (tmp_path / "journal.csv").read_text()
    )


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
def test_no_text_in_csv_is_a_formula(kind: pa.DataType) -> None:
    batch = pa.record_batch({"text": pa.array([*FORMULAS, *TEXTS, None], kind), "number": range(-10, 10)})
    text, number = as_text(batch).columns
    assert text.to_pylist() == [*(f"'{each}" for each in FORMULAS), *TEXTS, None]
    assert number.to_pylist() == list(range(-10, 10))


def test_past_state_is_exported(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    assert exported(path, PublicTable.CUSTOMERS, LATER - timedelta(microseconds=1)) == 2
    assert [row[-1] for row in parquet(path)] == [None, None]
    assert exported(tmp_path / "before.parquet", PublicTable.CUSTOMERS, NOON - timedelta(microseconds=1)) == 0
    assert tuple(pq.read_schema(tmp_path / "before.parquet").names) == COLUMNS[PublicTable.CUSTOMERS]


def test_large_table_is_in_groups_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.stores.duckdb.table_stream.ROWS_AT_ONCE", 1)
    monkeypatch.setattr("worker.snapshots.export.ROWS_OF_A_GROUP", 3)
    path = tmp_path / "table.parquet"
    assert exported(path, PublicTable.JOURNAL) == 4
    assert pq.ParquetFile(path).metadata.num_row_groups == 2
    assert [row[:7] for row in parquet(path)] == sorted(JOURNAL, key=str)


def files(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.iterdir())


def write(path: Path, then: Callable[[], object]) -> None:
    with new_file(path, replaces=False) as file:
        file.write(b"ours")
        then()


def test_failed_block_leaves_no_file(tmp_path: Path) -> None:
    before = files(tmp_path)
    with pytest.raises(ZeroDivisionError):
        write(tmp_path / "new", lambda: 1 // 0)
    assert files(tmp_path) == before


def test_file_created_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "new"
    with pytest.raises(FileExistsError):
        write(path, lambda: path.write_bytes(b"theirs"))
    assert path.read_bytes() == b"theirs"
    assert files(tmp_path) == ["customers.duckdb", "new"]


def run(directory: Path, *arguments: str, hampered: str | None = None) -> tuple[int, str, str]:
    """Run the command: its exit code, and what it wrote."""
    command = module_command("export") if hampered is None else [*MODULE, HAMPERED, hampered, "export"]
    variables = environment({"STORE__URL": f"duckdb:///{directory / 'customers.duckdb'}"})
    done = run_process([*command, *arguments], variables, directory, 60)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_command_creates_a_private_file_and_replaces_none(tmp_path: Path) -> None:
    path = tmp_path / "customers.parquet"
    assert run(tmp_path, path.name)[:2] == (0, f"customers.parquet: 2 rows, {path.stat().st_size / 2**20:.1f} MiB\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = path.stat().st_ino
    code, out, err = run(tmp_path, path.name, "--table", "journal")
    assert (code, out) == (Exit.USAGE, "")
    assert "customers.parquet exists. --force replaces it" in " ".join(err.replace("│", "").split())
    assert path.stat().st_ino == first
    code, out, _ = run(tmp_path, path.name, "--table", "journal", "--force", "--as-of", "2026-07-01T12:30", "--json")
    answer = msgspec.json.decode(out)
    assert (code, answer["rows"], answer["table"], answer["as_of"]) == (0, 2, "journal", "2026-07-01T12:30:00Z")
    assert [row[:7] for row in parquet(path)] == sorted(JOURNAL[:2], key=str)


@pytest.mark.parametrize(("arguments", "message"), [
    (["customers.xlsx"], "ends with .parquet or .csv"),
    (["customers.csv", "--table", "outbox"], "outbox"),
    (["customers.csv", "--as-of", (datetime.now(UTC) + timedelta(days=1)).isoformat()], "has not come yet"),
    (["customers.csv", "--as-of", "yesterday"], "a time is written as"),
])  # fmt: skip
def test_invalid_arguments_are_usage_errors(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(command_line(["export"]), ["export", *arguments], env={"COLUMNS": "200"})
    assert done.exit_code == Exit.USAGE
    assert message in done.output


@pytest.mark.parametrize("when", ["full-before", "full-after"])
@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_full_disk_is_one_sentence_and_leaves_no_file(tmp_path: Path, name: str, when: str) -> None:
    before = files(tmp_path)
    code, out, err = run(tmp_path, name, hampered=when)
    assert (code, out) == (Exit.NO, "")
    assert err.startswith(f"{name} was not written: File too large. Check that its ")  # and then it is full, too
    assert files(tmp_path) == before


def test_missing_directory_is_one_sentence(tmp_path: Path) -> None:
    code, _, err = run(tmp_path, "none/table.csv")
    assert code == Exit.NO
    assert err.startswith("none/table.csv was not written: No such file or directory. ")


def test_terminated_command_leaves_no_file(tmp_path: Path) -> None:
    before = files(tmp_path)
    assert run(tmp_path, "table.csv", hampered="terminated")[0] == 128 + signal.SIGTERM
    assert files(tmp_path) == before
