"""Each command loads only the modules it needs, since loading takes longer than most answers."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from worker.cli.main import command_line

HEAVY = {"faststream", "numpy", "prometheus_client", "psycopg", "pyarrow"}
WEB = {"jinja2", "starlette"}
OF_OTHER_COMMANDS = {"confluent_kafka", "psycopg", "worker.demo", "worker.reconcile", "worker.redrive", "worker.replay"}
ALL = {
    "run", "demo", "check", "topics", "config", "contract", "status", "explain", "parked", "dead-letters", "reconcile",
    "replay", "migrate", "store",
}  # fmt: skip


@pytest.mark.parametrize("has_http", [True, False], ids=["HTTP", "no HTTP"])
def test_run_loads_only_what_a_worker_needs(has_http: bool) -> None:
    """A worker loads its modules before it reads the first record; the HTTP server is loaded meanwhile."""
    loaded = _loaded(
        "from worker.cli.main import command_line; command_line(['run'])",
        "import worker.app, worker.stores.duckdb.store",
        "import worker.runtime.http_service" if has_http else "",
    )
    commands = {name for name in loaded if name.startswith("worker.cli.")}
    assert commands == {"worker.cli.main", "worker.cli.shared", "worker.cli.standard_output"}
    assert not OF_OTHER_COMMANDS.intersection(loaded)
    assert WEB.intersection(loaded) == (WEB if has_http else set())


@pytest.mark.parametrize("command", ["status", "explain", "parked", "dead-letters", "reconcile"])
def test_query_command_loads_no_heavy_module(command: str) -> None:
    loaded = _loaded(
        "from worker.cli.main import command_line; from worker.bootstrap import open_view",
        f"command_line(['{command}']); import worker.stores.duckdb.view",
    )
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


def _loaded(*statements: str) -> set[str]:
    """Return the names of the modules that a process has loaded after these statements."""
    program = "\n".join([*statements, "import sys; print(*sys.modules)"])
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(done.stdout.split())
