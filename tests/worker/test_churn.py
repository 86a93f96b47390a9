"""`churn`: groups in their order, with totals, shares and bars, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.support.builders import ADA, BOB, EVE, apply, cancellation, customer_id, signup
from worker.cli import churn_report
from worker.cli.churn_report import MOST_MONTHS
from worker.cli.main import command_line
from worker.errors import Exit, Refusal
from worker.stores.duckdb.store import DuckDBStore

ACTIVE = customer_id(1)
FREE = customer_id(2)


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a store of churned customers: Ada and Bob in one month, Eve two months later, one without revenue."""
    monkeypatch.setenv("CUSTOMER_WORKER_STORE__URL", f"duckdb:///{tmp_path / 'customers.duckdb'}")
    store = DuckDBStore(str(tmp_path / "customers.duckdb"))
    apply(
        store,
        [
            signup(0, ADA),
            signup(1, BOB, mrr='"83.333333"', plan_tier='"starter"'),
            signup(2, EVE, industry='"EdTech"', plan_tier='"enterprise"'),
            signup(3, ACTIVE),
            signup(4, FREE, mrr='"0"', plan_tier='"free"', industry='"EdTech"'),
            cancellation(0, ADA, "2026-04-15"),
            cancellation(1, BOB, "2026-04-16"),
            cancellation(2, EVE, "2026-06-30"),
            cancellation(3, FREE, "2026-06-30"),
        ],
    )
    store.close()


def churn(*arguments: str) -> str:
    done = CliRunner().invoke(command_line(["churn"]), ["churn", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def groups(*arguments: str) -> list[tuple[Any, ...]]:
    made = json.loads(churn(*arguments, "--json"))
    return [tuple(group.values()) for group in made["groups"]]


def test_months_are_complete_and_in_order() -> None:
    assert groups() == [
        ("2026-04", 2, "6988.00", 1, 0.5),
        ("2026-05", 0, "0.00", 0, None),
        ("2026-06", 2, "5988.00", 0, 0.0),
    ]


def test_tiers_follow_the_ladder_industries_the_arr_lost() -> None:
    assert [group[0] for group in groups("--by", "plan_tier")] == ["free", "starter", "growth", "enterprise"]
    assert [group[:3] for group in groups("--by", "industry")] == [
        ("FinTech", 2, "6988.00"),
        ("EdTech", 2, "5988.00"),
    ]


def test_json_has_the_period_and_the_total() -> None:
    made = json.loads(churn("--from", "2026-04-16", "--to", "2026-06-30", "--json"))
    total = {"customers": 3, "lost_arr": "6988.00", "early_stage": 0, "early_stage_share": 0.0}
    assert (made["by"], made["from"], made["to"], made["total"]) == ("month", "2026-04-16", "2026-06-30", total)
    assert made["groups"][0] == {"month": "2026-04", "customers": 1, "lost_arr": "1000.00", "early_stage": 0,
                                 "early_stage_share": 0.0}  # fmt: skip


def test_table_has_no_bars_where_it_is_piped() -> None:
    header, *rows = churn("--by", "plan_tier").splitlines()
    assert header.split() == ["plan", "tier", "customers", "ARR", "lost", "early", "stage"]
    assert [row.split() for row in rows] == [
        ["free", "1", "$0.00", "0.0%"],
        ["starter", "1", "$1,000.00", "0.0%"],
        ["growth", "1", "$5,988.00", "100.0%"],
        ["enterprise", "1", "$5,988.00", "0.0%"],
        ["total", "4", "$12,976.00", "25.0%"],
    ]


@pytest.mark.parametrize(("encoding", "mark"), [("utf-8", "█"), ("ascii", "#")])
def test_terminal_shows_a_bar_a_row(monkeypatch: pytest.MonkeyPatch, encoding: str, mark: str) -> None:
    monkeypatch.setattr(churn_report, "console", SimpleNamespace(is_terminal=True, encoding=encoding))
    bars = [row.count(mark) for row in churn("--by", "plan_tier").splitlines()]
    assert bars == [0, 0, 5, 30, 30, 0]


def test_smallest_loss_has_a_bar() -> None:
    assert churn_report._bar(Decimal("0.01"), Decimal(10**9))
    assert not churn_report._bar(Decimal(0), Decimal(0))


def test_stray_date_adds_no_thousands_of_months(tmp_path: Path) -> None:
    store = DuckDBStore(str(tmp_path / "customers.duckdb"))
    apply(store, [signup(5, customer_id(3), signup_date='"0026-01-15"')])
    apply(store, [cancellation(4, customer_id(3), "0026-06-30")])
    store.close()
    assert [group[0] for group in groups()] == ["0026-06", "2026-04", "2026-06"]
    assert len(groups()) < MOST_MONTHS


def test_no_churn_in_the_period_is_an_empty_answer() -> None:
    assert churn("--to", "2025-12-31") == "No churned customers.\n"
    assert groups("--to", "2025-12-31") == []


@pytest.mark.parametrize("arguments", [
    ["--by", "week"], ["--from", "2026-13-01"], ["--from", "2026-06-30", "--to", "2026-06-29"],
])  # fmt: skip
def test_invalid_options_are_usage_errors(arguments: Sequence[str]) -> None:
    assert CliRunner().invoke(command_line(["churn"]), ["churn", *arguments]).exit_code == Exit.USAGE


def test_missing_store_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOMER_WORKER_STORE__URL", "duckdb:////no/such/file")
    with pytest.raises(Refusal, match=r"there is no store /no/such/file\. No worker has run here yet") as refused:
        churn()
    assert refused.value.code is Exit.UNREACHABLE
