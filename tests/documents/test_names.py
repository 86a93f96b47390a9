"""Names in the documents exist: commands, options, settings, metrics, log events, exit codes, alerts, paths."""

import re
from pathlib import Path

import pytest
import yaml

from tests.documents import settings_table
from tests.documents.documents import (
    CONTRACT,
    DOCUMENTS,
    OPERATING,
    ROOT,
    Command,
    alternatives,
    headings,
    prose,
    section,
    spans,
    table,
)
from tests.documents.shell import all_options, parse, require_valid, simple_commands, top_level_commands
from tests.monitoring.test_alerts import scraped, well
from tests.support.builders import cancellation, composer
from tests.support.published import listed
from worker.errors import Exit
from worker.messages import schemas
from worker.messages.churned_event import Envelope
from worker.messages.rejection import Reason, Rejected
from worker.metrics.counters import Metrics
from worker.settings import Topics
from worker.settings.environment import in_files

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.name))

OF_THE_SHELL = {130: "interrupted", 143: "SIGTERM"}
"""Exit codes of a process that a signal ended."""
SPANS = [
    Command(document, alternative)
    for document in DOCUMENTS
    for span in dict.fromkeys(spans(prose(document)))
    for alternative in alternatives(span)
]
WHOLE = [
    span for span in SPANS if re.match(r"(customer-worker|make|python|docker|faststream|kafka-\w+.*\.sh) ", span.text)
]


LOG_CALL = re.compile(r'\.([a-z_]+)\(\s*"([^"]+)"')


def log_events() -> dict[str, set[str]]:
    """Each event that the worker logs, and its levels."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "worker").rglob("*.py"):
        for level, event in LOG_CALL.findall(path.read_text()):
            found.setdefault(event, set()).add("error" if level == "exception" else level)
    return found


EVENTS = log_events()
SHORT = [
    span
    for span in SPANS
    if span.text.split()[0] in top_level_commands() and " " in span.text and span.text not in EVENTS
]


@pytest.mark.parametrize("command", WHOLE, ids=str)
def test_command_exists(command: Command) -> None:
    for words in simple_commands(command.text):
        require_valid(words) if words[0] != "customer-worker" else parse(words[1:], is_complete=False)


@pytest.mark.parametrize("command", SHORT, ids=str)
def test_short_command_exists(command: Command) -> None:
    parse(command.text.split(), is_complete=False)


@every_document
def test_options_exist(document: Path) -> None:
    mentioned = {span.split("=")[0].split()[0] for span in spans(prose(document)) if span.startswith("--")}
    assert mentioned <= all_options()


def test_settings_table_equals_the_settings() -> None:
    written = OPERATING.read_text()
    assert settings_table.replaced(written) == written, "run `python -m tests.documents.settings_table`"


@every_document
def test_settings_exist(document: Path) -> None:
    names = settings_table.defaults().keys() | {f"{name}_FILE" for name in in_files()}
    text = document.read_text()
    for name in re.findall(r"\b(?:CUSTOMER_WORKER_)?[A-Z]+__[A-Z_]*", text):
        whole = name if name.startswith("CUSTOMER_WORKER_") else f"CUSTOMER_WORKER_{name}"
        assert whole in names or (whole.endswith("__") and any(each.startswith(whole) for each in names)), name


@every_document
def test_variables_of_the_tests_exist(document: Path) -> None:
    sources = "".join(path.read_text() for path in (ROOT / "tests" / "support").rglob("*.py"))
    for name in re.findall(r"TEST_[A-Z_]+", document.read_text()):
        assert f'"{name}"' in sources


def exposed_metrics() -> set[str]:
    text = scraped(Metrics(Topics()), well())
    return set(re.findall(r"^# TYPE (customer_worker_\w+)", text, re.MULTILINE))


@every_document
def test_metrics_exist(document: Path) -> None:
    assert set(re.findall(r"\bcustomer_worker_[a-z_]+", document.read_text())) <= exposed_metrics()


def test_every_metric_is_in_the_table() -> None:
    documented = {name for row in _rows(OPERATING, "Health and metrics") for name in spans(row[0])}
    assert documented == exposed_metrics()


def test_log_events_have_the_level_of_the_table() -> None:
    for names, levels, _ in table(OPERATING, "Logs"):
        shown = levels.split(", ")
        for number, event in enumerate(spans(names)):
            assert shown[min(number, len(shown) - 1)] in EVENTS[event], event


@every_document
def test_log_events_exist(document: Path) -> None:
    """Of a span of plain words that is no command, no code: it is a log event."""
    for span in spans(prose(document)):
        words = span.split()
        if len(words) > 2 and re.fullmatch(r"[A-Za-z]+(,? [a-z]+)+", span) and words[0] not in top_level_commands():
            assert span in EVENTS or words[0] in {"customer-worker", "docker"}, span


def test_exit_codes_are_those_of_the_worker() -> None:
    documented = [int(row[0]) for row in table(OPERATING, "Exit codes")]
    assert documented == sorted({*map(int, Exit), *OF_THE_SHELL})


@every_document
def test_exit_codes_exist(document: Path) -> None:
    mentioned = re.findall(
        r"(?:exit codes?|stops? with|stopped with|exits? with|end with|ends with) (\d+)", prose(document)
    )
    assert {int(code) for code in mentioned} <= {*map(int, Exit), *OF_THE_SHELL}


def test_every_alert_has_a_section_in_the_runbook() -> None:
    rules = yaml.safe_load((ROOT / "worker" / "monitoring" / "alerts.yaml").read_text())["groups"][0]["rules"]
    runbook = re.findall(r"^### (\w+)$", section(OPERATING, "Runbook: alerts"), re.MULTILINE)
    assert runbook == [rule["alert"] for rule in rules]


def test_checks_of_the_runbook_exist() -> None:
    source = (ROOT / "worker" / "monitoring" / "health.py").read_text()
    for names, *_ in table(OPERATING, "CustomerWorkerNotReady"):
        for name in spans(names):
            assert f'"{name}"' in source, name


@every_document
def test_paths_exist(document: Path) -> None:
    for span in spans(prose(document)):
        if re.fullmatch(r"(worker|tests|domain|docs|deploy|\.ci)/[\w./-]*|[\w.]+\.(md|toml|yaml|txt)", span):
            assert (ROOT / span).exists() or span.endswith("alerts.yaml"), span


def test_every_package_and_module_is_in_the_layout() -> None:
    contributing = section(ROOT / "docs" / "contributing.md", "Code layout")
    modules = {f"worker/{path.name}" for path in (ROOT / "worker").glob("*.py") if not path.name.startswith("__")}
    packages = {f"worker/{path.parent.name}/" for path in (ROOT / "worker").glob("*/__init__.py")}
    assert {name for name in modules | packages if f"`{name}`" not in contributing} == set()
    assert {name for name in packages if f"`{name}`" not in section(ROOT / "README.md", "Code layout")} == set()


def test_reasons_are_those_of_the_worker() -> None:
    documented = [code for row in table(CONTRACT, "Outcomes") for code in re.findall(r"rejected `(\w+)`", row[1])]
    assert set(documented) == set(Reason)
    assert len(documented) == len(Reason)


@pytest.mark.parametrize("name", ["signup", "cancellation"])
def test_every_field_of_a_message_is_described(name: str) -> None:
    for field in schemas.MESSAGES[name]["properties"]:
        assert f"`{field}`" in section(CONTRACT, f"customer.{name}"), field


def test_headers_of_a_dead_letter_are_those_of_the_table() -> None:
    letter = composer().dead_letter(cancellation(), Rejected(Reason.EMPTY, "no value"))
    added = {name for name, _ in letter.headers if name.startswith("__dlq")}
    assert {name for row in table(CONTRACT, "Dead letters") for name in spans(row[0])} == added


def test_headers_of_an_event_are_those_of_the_table() -> None:
    source = "".join(path.read_text() for path in (ROOT / "worker" / "messages").glob("*.py"))
    documented = {name for row in table(CONTRACT, "customer.churned") for name in spans(row[0])}
    always = {name for name, _ in listed(Envelope("/customers").common)} | {"ce_id", "ce_subject"}
    assert always < documented
    for name in documented - always:
        assert f'"{name}"' in source, name


def _rows(document: Path, title: str) -> list[list[str]]:
    return [row for row in table(document, title) if spans(row[0])]


def test_headings_are_unique() -> None:
    for document in DOCUMENTS[:1] + DOCUMENTS[2:]:  # a changelog repeats its own
        assert len(headings(document)) == len(set(headings(document))), document.name
