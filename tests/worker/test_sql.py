"""`sql`: results as a table, JSON and CSV; limits; a process that has nothing but the tables."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import math
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from tests.support.builders import ADA, BOB, apply, cancellation, signup
from tests.support.processes import run_process
from tests.support.worker_process import environment, module_command
from worker.cli.main import command_line
from worker.cli.sql_output import print_csv, print_json, print_rows
from worker.errors import Exit, Refusal
from worker.settings import Settings, Store
from worker.snapshots.sandbox import Request
from worker.snapshots.sql import Limits, Result, Sandbox, run_sql
from worker.stores.duckdb.store import DuckDBStore

LIMITS = Limits(rows=1_000, seconds=30, memory_mib=256)
SECRET = "s3cret"
DURATION: Any = pa.MonthDayNano((1, 2, 3_000_000_000))  # type: ignore[call-arg,arg-type]
VALUES: dict[str, tuple[Any, pa.DataType, Any, str]] = {
    "text": ("=1+1\x1b[31m", pa.string(), "=1+1\x1b[31m", "'=1+1\x1b[31m"),
    "integer": (-1, pa.int64(), -1, "-1"),
    "amount": (Decimal("-83.333333"), pa.decimal128(18, 6), "-83.333333", "-83.333333"),
    "large": (Decimal(2**70), pa.decimal128(38, 0), 2**70, str(2**70)),
    "number": (0.5, pa.float64(), 0.5, "0.5"),
    "infinite": (math.inf, pa.float64(), "inf", "inf"),
    "day": (dt.date(2026, 1, 15), pa.date32(), "2026-01-15", "2026-01-15"),
    "moment": (dt.datetime(2026, 1, 15, 12), pa.timestamp("us"), "2026-01-15T12:00:00", "2026-01-15T12:00:00"),  # noqa: DTZ001
    "clock": (dt.time(12), pa.time64("us"), "12:00:00", "12:00:00"),
    "yes": (True, pa.bool_(), True, "true"),
    "bytes": (b"\xff", pa.binary(), "ff", "ff"),
    "list": ([1, None], pa.list_(pa.int64()), [1, None], "[1,null]"),
    "struct": ({"a": Decimal("1.50")}, pa.struct([("a", pa.decimal128(9, 2))]), {"a": "1.50"}, '{"a":"1.50"}'),
    "duration": (DURATION, pa.month_day_nano_interval(), "P1M2DT3S", "P1M2DT3S"),
    "nothing": (None, pa.string(), None, ""),
    "empty": ("", pa.string(), "", ""),
}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return the settings of a store with two customers, one of them churned."""
    store = DuckDBStore(str(tmp_path / "customers.duckdb"))
    apply(store, [signup(0, mrr='"83.333333"'), signup(1, BOB), cancellation(0, reason='"\\u0000é"'), signup(2)])
    store.close()
    return Settings(store=Store.model_validate({"url": f"duckdb:///{tmp_path / 'customers.duckdb'}"}))


@pytest.fixture
def nowhere() -> Settings:
    """Return the settings of a store that does not exist."""
    return Settings(store=Store.model_validate({"url": "duckdb:////no/such/store"}))


def rows(settings: Settings, statement: str, limits: Limits = LIMITS) -> tuple[list[tuple[Any, ...]], bool]:
    with run_sql(settings, statement, limits, lambda _: None) as result:
        return [tuple(row.values()) for row in result.rows.read_all().to_pylist()], result.has_more


def test_statement_joins_the_tables_of_one_moment(settings: Settings) -> None:
    statement = """
        SELECT customer_id, c.mrr, lost_arr, is_early_stage, e.reason, count(j.outcome), max(j.at) <= now()::TIMESTAMP
        FROM customers c LEFT JOIN churned e USING (customer_id) LEFT JOIN journal j USING (customer_id)
        GROUP BY ALL ORDER BY c.mrr
    """
    assert rows(settings, statement) == (
        [
            (ADA, Decimal("83.333333"), Decimal("1000.00"), False, "\0é", 3, True),
            (BOB, Decimal("499.000000"), None, None, None, 1, True),
        ],
        False,
    )


def test_rows_over_the_limit_are_left_out(nowhere: Settings) -> None:
    one = LIMITS._replace(rows=4_001)
    assert rows(nowhere, "FROM range(4001) ORDER BY range DESC", one) == ([(n,) for n in range(4000, -1, -1)], False)
    assert rows(nowhere, "FROM range(100000) ORDER BY range", one) == ([(n,) for n in range(4001)], True)


@pytest.mark.parametrize(("statement", "message"), [
    ("SELECT mmr FROM customers", 'Referenced column "mmr" not found in FROM clause'),
    ("SELECT 'a\x1b[31m'::INTEGER", "Could not convert string 'a?[31m' to INT32"),
    ("DROP TABLE customers", "the statement was not run: only SELECT is accepted, this is DROP"),
])  # fmt: skip
def test_refused_statement_needs_no_store(nowhere: Settings, statement: str, message: str) -> None:
    with pytest.raises(Refusal) as refused:
        rows(nowhere, statement)
    assert message in str(refused.value)
    assert refused.value.code is Exit.USAGE


def test_missing_store_is_reported(nowhere: Settings) -> None:
    with pytest.raises(Refusal, match="there is no store /no/such/store"):
        rows(nowhere, "FROM customers")


ENDLESS = "WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r) SELECT count(*) FROM r"
UNINTERRUPTIBLE = "SELECT jaro_similarity(repeat('a', 3000000), repeat('b', 3000000))"
BEFORE_IT_RUNS = f"FROM range(({UNINTERRUPTIBLE.removeprefix('SELECT ')})::BIGINT)"
HARD = {"endless": ENDLESS, "uninterruptible": UNINTERRUPTIBLE, "before it runs": BEFORE_IT_RUNS}


@pytest.mark.parametrize("statement", HARD.values(), ids=HARD)
def test_statement_over_the_time_limit_is_ended(nowhere: Settings, statement: str) -> None:
    began = time.monotonic()
    with pytest.raises(
        Refusal, match=r"the statement was ended after 0\.2 s\. Simplify it, or raise --timeout"
    ) as ended:
        rows(nowhere, statement, LIMITS._replace(seconds=0.2))
    assert ended.value.code is Exit.NO
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("statement", [
    "SELECT list(range) FROM range(1000000000)", "SELECT length(repeat('x', 3000000000))",
])  # fmt: skip
def test_statement_over_the_memory_limit_is_ended(nowhere: Settings, statement: str) -> None:
    with pytest.raises(Refusal, match=r"needs more than 64 MiB of memory\. Simplify it, or raise --memory") as ended:
        rows(nowhere, statement, LIMITS._replace(memory_mib=64))
    assert ended.value.code is Exit.NO


@contextmanager
def sandbox(tmp_path: Path, statement: str = "FROM customers") -> Iterator[Sandbox]:
    with tempfile.TemporaryFile() as snapshot, tempfile.TemporaryFile() as errors:
        request = Request(statement, *LIMITS, snapshot.fileno(), str(tmp_path))
        with closing(Sandbox(request, LIMITS, errors)) as started:
            yield started


def test_process_has_no_environment_and_no_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOMER_WORKER_KAFKA__SASL_PASSWORD", SECRET)
    with (tmp_path / "open").open("wb") as open_file:
        os.set_inheritable(open_file.fileno(), True)
        with sandbox(tmp_path) as started:
            assert started.needed_tables()
            process = Path(f"/proc/{started.pid}")
            variables = process.joinpath("environ").read_bytes().split(b"\0")
            files = {str(each.readlink()) for each in process.joinpath("fd").iterdir()}
            assert (process / "cwd").readlink() == tmp_path
    assert {each.partition(b"=")[0] for each in variables} <= {b"", b"LD_LIBRARY_PATH"}
    assert SECRET not in str(variables)
    assert not any(str(tmp_path) in each for each in files), files


def test_killed_process_is_reported(tmp_path: Path) -> None:
    with sandbox(tmp_path) as started:
        os.kill(started.pid, 9)
        with pytest.raises(Refusal, match="needs more than 256 MiB of memory"):
            started.needed_tables()


def test_process_ends_with_its_command(tmp_path: Path) -> None:
    with sandbox(tmp_path) as started:
        started.needed_tables()
        process = Path(f"/proc/{started.pid}")
        assert process.exists()
    assert not process.exists()


def result(has_more: bool = False) -> Result:
    columns = {f"{name}": pa.array([value], kind) for name, (value, kind, _, _) in VALUES.items()}
    table = pa.table(columns)
    return Result(pa.RecordBatchReader.from_batches(table.schema, table.to_batches()), has_more)


def test_json_has_a_row_per_object(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(result(has_more=True))
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == {"rows": [{name: plain for name, (_, _, plain, _) in VALUES.items()}], "has_more": True}


def test_csv_has_no_formulas(capsys: pytest.CaptureFixture[str]) -> None:
    print_csv(result())
    printed = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert printed == [list(VALUES), [cell for _, _, _, cell in VALUES.values()]]


def test_csv_columns_are_no_formulas(capsys: pytest.CaptureFixture[str]) -> None:
    print_csv(Result(pa.RecordBatchReader.from_batches(pa.schema([("=1", pa.int8())]), []), has_more=True))
    assert capsys.readouterr() == ("'=1\n", "… and more rows (--limit)\n")


def test_table_has_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(result(has_more=True))
    header, row, more = capsys.readouterr().out.splitlines()
    assert header.split() == list(VALUES)
    assert r"=1+1\x1b[31m" in row
    assert "\x1b" not in row
    assert more == "… and more rows (--limit)"


def test_command_prints_a_table(tmp_path: Path, settings: Settings) -> None:
    variables = environment({"STORE__URL": settings.store.url.get_secret_value()})
    statement = "SELECT plan_tier, count(*) AS customers, sum(lost_arr) AS arr FROM churned GROUP BY ALL"
    done = run_process(module_command("sql", statement), variables, tmp_path, 60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line.split() for line in done.stdout.decode().splitlines()] == [
        ["plan_tier", "customers", "arr"], ["growth", "1", "1000.00"]
    ]  # fmt: skip


@pytest.mark.parametrize("arguments", [
    ["SELECT 1", "--csv", "--json"], ["SELECT 1", "--limit", "0"], ["SELECT 1", "--timeout", "0"],
    ["SELECT 1", "--memory", "1"], [],
])  # fmt: skip
def test_invalid_options_are_usage_errors(arguments: list[str]) -> None:
    assert CliRunner().invoke(command_line(["sql"]), ["sql", *arguments]).exit_code == Exit.USAGE
