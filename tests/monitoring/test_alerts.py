"""Alert rules fire when they should, give advice, and use metrics that the worker exposes."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import promql_parser
import pytest
import yaml
from hatchling.builders.wheel import WheelBuilder
from typer.testing import CliRunner

from tests.monitoring.promtool import RULES, require_firing, run_promtool
from tests.support.builders import SIGNUPS
from worker.cli.main import command_line
from worker.messages.rejection import Reason, Rejected
from worker.metrics.counters import Metrics, Stage
from worker.monitoring import RUNBOOK
from worker.monitoring.checks import Check
from worker.monitoring.exposition import exposition
from worker.monitoring.gauges import Reading, StoreReading
from worker.processing.batch import BatchResult
from worker.settings import Topics
from worker.stores.changes import RecordCoordinates
from worker.stores.reading import AtStake, Waiting

ROOT = Path(__file__).parents[2]
OPERATING = ROOT / "docs" / "operating.md"
ALERTS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]

every_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))


def well() -> Reading:
    """Return the reading of a worker that is well and has nothing to do."""
    store = StoreReading({}, Waiting(0, None, 0, None), AtStake(0, Decimal(0)), 1)
    place = (SIGNUPS, 0)
    checks = [Check(name, is_well=True, found="") for name in ("poll", "store", "outbox")]
    return Reading(checks, {place: 1}, {place: 0}, store, {place: 0.0}, {SIGNUPS: True})


def scraped(metrics: Metrics, reading: Reading) -> str:
    return exposition(metrics, reading, "")[0].decode()


def test_prometheus_takes_the_rules() -> None:
    code, said = run_promtool("check", "rules", str(RULES))
    assert code == 0, said
    assert "11 rules found" in said


def test_rules_pass_their_scenarios() -> None:
    code, said = run_promtool("test", "rules", str(Path(__file__).with_name("alerts_test.yaml")))
    assert code == 0, said


@every_alert
def test_each_metric_of_a_rule_is_exposed(alert: dict[str, Any]) -> None:
    exposed = set(re.findall(r"^([a-z_]+)", scraped(Metrics(Topics()), well()), re.MULTILINE))
    asked = set(_metrics(promql_parser.parse(alert["expr"])))
    assert asked
    assert asked <= exposed


@every_alert
def test_each_alert_names_a_command_that_exists(alert: dict[str, Any]) -> None:
    said = alert["annotations"]
    assert set(said) == {"summary", "description", "action", "runbook_url"}
    commands = re.findall(r"`(customer-worker [^`]+)`", said["action"])
    assert commands
    for command in commands:
        words = [word for word in shlex.split(command)[1:] if re.fullmatch(r"[a-z-]+", word)]
        names = [word for word in words if not word.startswith("-")]
        shown = CliRunner().invoke(command_line(names), [*names, "--help"], env={"COLUMNS": "200"})
        assert shown.exit_code == 0, shown.output
        for option in (word for word in words if word.startswith("--")):
            assert option in shown.output


@every_alert
def test_each_alert_links_to_its_section_of_the_runbook(alert: dict[str, Any]) -> None:
    address, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert address == RUNBOOK
    assert anchor == alert["alert"].lower()
    assert re.search(rf"^### {alert['alert']}$", OPERATING.read_text(), re.MULTILINE)


def test_links_lead_to_the_documentation_of_the_project() -> None:
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    assert f"{urls['Documentation']}operating.md" == RUNBOOK


def test_links_lead_where_the_option_says() -> None:
    words = ["contract", "alerts"]
    shown = CliRunner().invoke(command_line(words), [*words, "--runbook", "https://wiki.example/churn"])
    assert "https://wiki.example/churn#customerworkerdown" in shown.output
    assert RUNBOOK not in shown.output


def test_healthy_worker_fires_no_alert(tmp_path: Path) -> None:
    metrics = Metrics(Topics())
    scrapes = []
    for _ in range(40):
        metrics.applied(10, BatchResult(), dict.fromkeys(Stage, 0.1))
        scrapes.append(scraped(metrics, well()))
    require_firing(tmp_path, scrapes, {})


def test_unreachable_worker_fires_an_alert(tmp_path: Path) -> None:
    here = scraped(Metrics(Topics()), well())
    require_firing(tmp_path, [here] * 10 + [None] * 10, {"CustomerWorkerDown": 1})


def test_each_failed_check_fires_an_alert(tmp_path: Path) -> None:
    bad = [Check("poll", is_well=False, found=""), Check("store", is_well=False, found="")]
    here = scraped(Metrics(Topics()), replace(well(), checks=bad))
    require_firing(tmp_path, [here] * 20, {"CustomerWorkerNotReady": 2})


def test_unread_records_fire_an_alert(tmp_path: Path) -> None:
    here = scraped(Metrics(Topics()), replace(well(), lag={(SIGNUPS, 0): 3}))
    require_firing(tmp_path, [here] * 20, {"CustomerWorkerStalled": 1})


def test_unpublished_event_fires_an_alert(tmp_path: Path) -> None:
    store = StoreReading({}, Waiting(0, None, 1, datetime.now(UTC) - timedelta(minutes=10)), AtStake(0, Decimal(0)), 1)
    here = scraped(Metrics(Topics()), replace(well(), store=store))
    require_firing(tmp_path, [here] * 20, {"CustomerWorkerEventsLate": 1})


def test_many_rejections_fire_an_alert_per_reason(tmp_path: Path) -> None:
    metrics = Metrics(Topics())
    before = scraped(metrics, well())
    result = BatchResult(
        rejected=[
            (RecordCoordinates(SIGNUPS, 0, 0), Rejected(reason, ""))
            for reason in (Reason.EMPTY, Reason.INVALID)
            for _ in range(50)
        ]
    )
    result.decided.update({(SIGNUPS, "applied"): 500, (SIGNUPS, "rejected"): 100})
    metrics.applied(600, result, {})
    require_firing(tmp_path, [before] * 3 + [scraped(metrics, well())] * 9, {"CustomerWorkerRejecting": 2})


def test_lost_commits_fire_an_alert(tmp_path: Path) -> None:
    metrics = Metrics(Topics())
    before = scraped(metrics, well())
    metrics.store_lost_commits()
    require_firing(tmp_path, [before] * 3 + [scraped(metrics, well())] * 9, {"CustomerWorkerStoreLostCommits": 1})


def test_the_rules_are_printed_and_shipped(tmp_path: Path) -> None:
    shown = CliRunner().invoke(command_line(["contract", "alerts"]), ["contract", "alerts"])
    assert (shown.exit_code, shown.output) == (0, RULES.read_text())
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with ZipFile(wheel) as shipped:
        assert {"worker/monitoring/alerts.yaml", "worker/http/templates/operations.html"} <= set(shipped.namelist())


def _metrics(expression: Any) -> Iterator[str]:
    """Yield the names of all metrics in a parsed expression."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield str(expression.name)
    for part in ("expr", "lhs", "rhs", "vector_selector"):
        if (inner := getattr(expression, part, None)) is not None:
            yield from _metrics(inner)
    for argument in getattr(expression, "args", None) or ():
        yield from _metrics(argument)
