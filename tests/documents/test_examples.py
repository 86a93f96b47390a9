"""Examples in the documents are run, compiled, or compared with what they show."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from jsonschema import Draft202012Validator

from tests.documents.documents import CONTRACT, README, ROOT, Block, blocks
from tests.documents.java import compile_java
from tests.documents.shell import require_valid, simple_commands
from worker.messages import schemas
from worker.messages.inbound import Decoder
from worker.messages.message import Cancellation, Signup
from worker.messages.record import PlainRecord
from worker.snapshots.sandbox import Request, open_database
from worker.snapshots.statement import needed_tables
from worker.stores.duckdb.store import DuckDBStore


@pytest.mark.parametrize("block", [block for block in blocks("python") if block.document != CONTRACT], ids=str)
def test_python_runs(block: Block) -> None:
    subprocess.run([sys.executable, "-c", block.text], check=True, timeout=60, cwd=ROOT)


@pytest.mark.parametrize("block", blocks("java"), ids=str)
def test_java_compiles(block: Block, tmp_path: Path) -> None:
    compile_java(block.text, tmp_path)


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_commands_of_a_script_exist(block: Block) -> None:
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    for words in simple_commands(block.text):
        require_valid(words)


@pytest.mark.parametrize("block", [block for block in blocks("sh") if "customer-worker sql" in block.text], ids=str)
def test_statements_of_a_script_are_accepted(block: Block) -> None:
    statements = [words[-1] for words in simple_commands(block.text) if words[:2] == ["customer-worker", "sql"]]
    assert statements
    with open_database(Request("", 1, 1, 64, 0, "")) as db:
        for statement in statements:
            assert needed_tables(db, statement)
            db.sql(statement)


def _message(block: Block) -> str:
    fields = json.loads(block.text)
    return next(name for name in ("churn", "cancellation", "signup") if any(field.startswith(name) for field in fields))


JSON = {_message(block): block.text for block in blocks("json")}


def test_the_contract_has_an_example_of_each_message() -> None:
    assert set(JSON) == {"signup", "cancellation", "churn"}
    assert len(blocks("json")) == len(JSON)


def test_the_example_of_an_event_follows_the_schema() -> None:
    example = json.loads(JSON["churn"])
    assert Draft202012Validator(schemas.schema("churned")).is_valid(example)
    assert example.keys() == schemas.MESSAGES["churned"]["properties"].keys()


@pytest.mark.parametrize(("name", "kind"), [("signup", Signup), ("cancellation", Cancellation)])
def test_examples_of_inputs_are_accepted(name: str, kind: type) -> None:
    topic = f"customer.{name}"
    record = PlainRecord(topic, 0, 0, 0, None, JSON[name].encode(), [])
    assert isinstance(Decoder("customer.signup", 65_536).decode(record), kind)


@pytest.mark.parametrize("block", blocks("sql"), ids=str)
def test_sql_runs_on_a_store(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "customers.duckdb"
    DuckDBStore(str(file)).close()
    with duckdb.connect(str(file)) as store:
        store.execute(block.text)


def test_the_demo_prints_what_the_readme_shows() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "worker", "demo"], capture_output=True, text=True, timeout=120, check=True, cwd=ROOT
    )
    (shown,) = [block.text for block in blocks("text", [README]) if not block.text.startswith("poll")]
    printed = iter([line.rstrip() for line in done.stdout.splitlines()])
    for line in shown.splitlines():
        assert line == "…" or line in printed, f"not printed, or not in this order: {line}"
