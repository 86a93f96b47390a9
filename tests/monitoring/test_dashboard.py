"""The Grafana dashboard fits Grafana's own schemas, and asks for series that the worker exposes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from jsonschema import Draft7Validator
from typer.testing import CliRunner

from tests.monitoring.promtool import run_promtool
from tests.monitoring.queries import interpolated
from tests.monitoring.test_alerts import scraped, well
from tests.support.builders import SIGNUPS
from worker.cli.main import command_line
from worker.metrics.counters import Metrics, Stage
from worker.metrics.kafka_requests import Operation
from worker.monitoring.dashboard import dashboard
from worker.processing.batch import BatchResult
from worker.settings import Topics

GRAFANA = Path(__file__).with_name("grafana")
"""Grafana's schemas, from grafana/grafana-foundation-sdk at f178d5a."""
DASHBOARD = json.loads(json.dumps(dashboard()))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
SCRAPED = {"job", "instance"}
"""The labels that Prometheus adds."""

every_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GRAFANA / f"{name}.jsonschema.json").read_text())
    return found


def require_valid(value: Any, name: str, definition: str) -> None:
    Draft7Validator({**schema(name), "$ref": f"#/definitions/{definition}"}).validate(value)


def test_dashboard_fits_the_schema_of_grafana() -> None:
    require_valid(DASHBOARD, "dashboard", "Dashboard")


@every_panel
def test_options_and_queries_fit_the_schemas_of_grafana(panel: dict[str, Any]) -> None:
    require_valid(panel["options"], panel["type"].replace("-", ""), "Options")
    for target in panel["targets"]:
        require_valid(target, "prometheus", "Dataquery")


def test_prometheus_parses_every_query(tmp_path: Path) -> None:
    rules = [{"record": f"query:{n}", "expr": interpolated(each)} for n, each in enumerate(expressions())]
    file = tmp_path / "queries.yaml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    code, said = run_promtool("check", "rules", str(file))
    assert code == 0, said


def expressions() -> list[str]:
    queries = [target["expr"] for panel in PANELS for target in panel["targets"]]
    return [*queries, *(each["expr"] for each in DASHBOARD["annotations"]["list"])]


def exposed() -> dict[str, set[str]]:
    """Return the metrics of a worker that has done everything, and the labels of each."""
    metrics = Metrics(Topics(), "group")
    metrics.applied(1, BatchResult(), dict.fromkeys(Stage, 0.1))
    for operation in Operation:
        metrics.kafka.succeeded(operation)
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? ", scraped(metrics, well()), re.MULTILINE):
        found[name] = set(re.findall(r'(\w+)="', labels)) | SCRAPED
    return found


def test_each_metric_and_label_of_a_query_is_exposed() -> None:
    worker = exposed()
    for expression in expressions():
        selectors = list(_selectors(promql_parser.parse(interpolated(expression))))
        assert selectors
        labels = set.union(*(worker[str(each.name)] for each in selectors))
        for each in selectors:
            assert {matcher.name for matcher in each.matchers.matchers} <= worker[str(each.name)], expression
        assert set(re.findall(r"\w+", " ".join(re.findall(r"by \((.*?)\)", expression)))) <= labels, expression


@every_panel
def test_legends_name_labels_of_their_series(panel: dict[str, Any]) -> None:
    worker = exposed()
    for target in panel["targets"]:
        named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        grouped = re.search(r"by \((.*?)\)", target["expr"])
        selectors = list(_selectors(promql_parser.parse(interpolated(target["expr"]))))
        labels = (
            set(re.findall(r"\w+", grouped[1])) if grouped else set.union(*(worker[str(s.name)] for s in selectors))
        )
        assert named <= labels


def test_every_metric_of_the_worker_is_shown() -> None:
    shown = {str(each.name) for query in expressions() for each in _selectors(promql_parser.parse(interpolated(query)))}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown}
    ours = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exposed() if name.startswith("customer_worker_")}
    assert ours <= families


def test_variables_ask_for_labels_that_are_exposed() -> None:
    queries = [each["query"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"]
    assert [each["name"] for each in DASHBOARD["templating"]["list"]] == ["datasource", "job", "group", "instance"]
    for query in queries:
        metric, label = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", query).groups()  # type: ignore[union-attr]
        assert label in exposed()[metric]


def test_panels_do_not_overlap() -> None:
    cells = [set(_cells(panel["gridPos"])) for panel in DASHBOARD["panels"]]
    assert all(first.isdisjoint(second) for first, second in combinations(cells, 2))
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in DASHBOARD["panels"])
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(numbers) == len(set(numbers))


def _cells(place: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    for column in range(place["x"], place["x"] + place["w"]):
        for line in range(place["y"], place["y"] + place["h"]):
            yield column, line


def test_command_prints_the_dashboard() -> None:
    words = ["contract", "dashboard"]
    shown = CliRunner().invoke(command_line(words), words)
    assert (shown.exit_code, json.loads(shown.output)) == (0, DASHBOARD)
    assert SIGNUPS not in shown.output


def _selectors(expression: Any) -> Iterator[Any]:
    """Yield the selectors of a parsed expression."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
    for part in ("expr", "lhs", "rhs", "vector_selector", "param"):
        if (inner := getattr(expression, part, None)) is not None:
            yield from _selectors(inner)
    for argument in getattr(expression, "args", None) or ():
        yield from _selectors(argument)
