"""Each command loads only the modules it needs, since loading takes longer than most answers."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from worker.cli.main import command_line

HEAVY = {"faststream", "numpy", "prometheus_client", "psycopg", "pyarrow"}
WEB = {"jinja2", "starlette"}
OF_OTHER_COMMANDS = {"confluent_kafka", "psycopg", "worker.demo", "worker.reconcile", "worker.redrive", "worker.replay"}
ALL = {
    "run", "demo", "check", "topics", "config", "contract", "status", "explain", "parked", "dead-letters", "churn",
    "export", "sql", "reconcile", "replay", "migrate", "store",
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


@pytest.mark.parametrize("command", ["status", "explain", "parked", "dead-letters", "churn", "reconcile"])
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


def help_of(*command: str, width: int = 100) -> str:
    shown = CliRunner().invoke(command_line(command), [*command, "-h"], env={"COLUMNS": str(width)})
    assert shown.exit_code == 0
    return shown.output


def commands() -> list[tuple[str, ...]]:
    """Return every command, those of groups with the name of their group."""
    found: list[tuple[str, ...]] = []
    for name, command in getattr(typer.main.get_command(command_line([])), "commands", {}).items():
        inner = getattr(command, "commands", None)
        found += [(name,)] if inner is None else [(name, each) for each in inner]
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_help_names_values_and_fills_its_lines(command: tuple[str, ...]) -> None:
    shown = help_of(*command)
    assert set(re.findall(r"<([a-z][^>]*)>", shown)) <= {"address", "file", "id", "sql", "uuid"}, (
        "a type of Python or typer"
    )
    _usage, *paragraphs = re.split(r"\n\s*\n", shown.split("╭")[0].strip())
    for paragraph in paragraphs:
        lines = [line.strip() for line in paragraph.splitlines()]
        for line, following in itertools.pairwise(lines):
            assert len(line) + 1 + len(following.split()[0]) > 95, f"broken too early: {line}"


def completions(words: str) -> list[str]:
    environment = {"_CUSTOMER_WORKER_COMPLETE": "complete_bash", "COMP_WORDS": words}
    environment["COMP_CWORD"] = str(len(words.split(" ")) - 1)
    program = "import sys; sys.argv = ['customer-worker']; from worker.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        env=os.environ | environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("customer-worker re", ["reconcile", "replay"]),
        ("customer-worker dead-letters re", ["redrive"]),
        ("customer-worker status --js", ["--json"]),
    ],
)
def test_tab_completes_commands_and_options(words: str, completed: list[str]) -> None:
    assert completions(words) == completed


@pytest.mark.parametrize("width", ["20", "80", "300"])
def test_config_show_cuts_no_name(width: str) -> None:
    shown = CliRunner().invoke(command_line(["config"]), ["config", "show"], env={"COLUMNS": width}).output
    assert "│ CUSTOMER_WORKER_KAFKA__BOOTSTRAP_SERVERS " in shown
    assert "…" not in shown
