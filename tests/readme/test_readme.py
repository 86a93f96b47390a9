"""The README says what the code does: its Python runs, its commands exist, its settings are the settings."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from worker.messages import schemas
from worker.messages.inbound import Cancellation, Decoder, Signup
from worker.messages.record import PlainRecord
from worker.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("snippet", blocks("python"))
def test_python_in_the_readme_runs(snippet: str) -> None:
    subprocess.run([sys.executable, "-c", snippet], check=True, timeout=60, cwd=ROOT)


def _is_no_option(word: str) -> bool:
    return not word.startswith("--")


COMMANDS = sorted(
    {line.strip() for block in blocks("sh") for line in block.splitlines() if line.strip()}
    | set(re.findall(r"`(customer-worker [^`<]+|make [a-z -]+)`", README))
)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("customer-worker")])
def test_commands_in_the_readme_exist(command: str) -> None:
    words = shlex.split(command)[1:]
    subcommands = [word for word in itertools.takewhile(_is_no_option, words) if re.fullmatch(r"[a-z-]+", word)]
    shown = subprocess.run(
        [sys.executable, "-m", "worker", *subcommands, "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    for option in (word for word in words if word.startswith("--")):
        assert option in shown.stdout


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make")])
def test_make_targets_in_the_readme_exist(command: str) -> None:
    for target in command.split()[1:]:
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def test_settings_table_has_every_setting_and_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)  # the machine's own settings are no defaults
    rows = dict(re.findall(r"^\| `(CUSTOMER_WORKER_[A-Z_]+)` \| `?([^`|]*?)`? \|", README, re.MULTILINE))
    assert rows == Settings().shown()


def test_the_churned_example_in_the_readme_follows_the_schema() -> None:
    example = json.loads(blocks("json")[0])
    assert schemas.ChurnedMessage.model_validate(example).model_dump(mode="json") == example


@pytest.mark.parametrize("name", ["signup", "cancellation"])
def test_every_field_of_a_message_is_in_the_readme(name: str) -> None:
    for field in schemas.MESSAGES[name].model_fields:
        assert f"`{field}`" in README, field


def test_what_the_contract_shows_is_read() -> None:
    decoder = Decoder("customer.signup", 65_536)
    signup = b"""{"customer_id": "6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a77", "industry": "FinTech", "plan_tier": "growth",
        "signup_date": "2026-01-15", "mrr": {"amount": "499.00", "currency": "USD"}}"""
    cancellation = b"""{"customer_id": "6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a77", "cancellation_date": "2026-06-30",
        "reason": "too_expensive"}"""
    assert isinstance(decoder.decode(PlainRecord("customer.signup", 0, 0, 0, None, signup, [])), Signup)
    assert isinstance(decoder.decode(PlainRecord("x", 0, 0, 0, None, cancellation, [])), Cancellation)


def test_every_module_is_on_the_map() -> None:
    """Every module and every package of `worker` has its row; the modules of a package are covered by its directory."""
    _, _, rest = README.partition("## Code layout")
    shown, _, _ = rest.partition("\n## ")
    modules = {path.name for path in (ROOT / "worker").glob("*.py") if not path.name.startswith("__")}
    packages = {f"{path.parent.name}/" for path in (ROOT / "worker").glob("*/__init__.py")}
    assert not {name for name in modules | packages if not re.search(f"`(worker/)?{re.escape(name)}`", shown)}
