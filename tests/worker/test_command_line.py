"""Each command loads only the modules it needs, since loading takes longer than most answers."""

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
def test_query_command_loads_no_heavy_module(command: str) -> None:
    program = (
        "import sys; from worker.cli.main import command_line; from worker.bootstrap import open_view\n"
        f"command_line(['{command}']); import worker.stores.duckdb.view; print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert "worker.queries.client" in loaded
    assert not HEAVY.intersection(loaded)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["no-such-command"], ["migrate"]], ids=str)
def test_help_without_a_command_lists_every_command(arguments: list[str]) -> None:
    shown = CliRunner().invoke(command_line(arguments), ["--help"], env={"COLUMNS": "200"}).output
    assert set(shown.split()) >= ALL


@pytest.mark.parametrize("name", sorted(ALL))
def test_named_command_is_loaded(name: str) -> None:
    shown = CliRunner().invoke(command_line([name]), [name, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert name in shown.output
