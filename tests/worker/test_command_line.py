"""A command loads what it needs: loading takes longer than most take for their answer."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from worker.cli.main import command_line

HEAVY = {"faststream", "numpy", "prometheus_client", "psycopg", "pyarrow"}
ALL = {
    "run", "demo", "check", "topics", "config", "contract", "status", "explain", "parked", "dead-letters", "reconcile",
    "replay", "migrate", "store",
}  # fmt: skip


@pytest.mark.parametrize("command", ["status", "explain", "parked", "dead-letters", "reconcile"])
def test_who_only_asks_loads_no_driver_that_does_not_answer(command: str) -> None:
    program = (
        "import sys; from worker.cli.main import command_line; from worker.bootstrap import open_view\n"
        f"command_line(['{command}']); import worker.stores.duckdb.view; print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert "worker.queries.client" in loaded
    assert not HEAVY.intersection(loaded)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["no-such-command"], ["migrate"]], ids=str)
def test_where_no_one_is_named_all_are_there(arguments: list[str]) -> None:
    shown = CliRunner().invoke(command_line(arguments), ["--help"], env={"COLUMNS": "200"}).output
    assert set(shown.split()) >= ALL


@pytest.mark.parametrize("name", sorted(ALL))
def test_each_is_there_where_it_is_named(name: str) -> None:
    shown = CliRunner().invoke(command_line([name]), [name, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert name in shown.output
