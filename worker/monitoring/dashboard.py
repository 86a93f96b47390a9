"""The Grafana dashboard as a document, in the classic JSON model that every version of Grafana since 10 imports."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from string import ascii_uppercase
from typing import Any

Panel = Mapping[str, Any]
STAT, LINES, STATES, TABLE = "stat", "timeseries", "state-timeline", "table"
SCHEMA_VERSION = 39
"""Of Grafana 10.4; later versions migrate it when they import it."""
COLUMNS = 24
DEFAULT_WIDTH = 8
_HEIGHTS = {STAT: 4, LINES: 8, STATES: 8, TABLE: 8}
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_STATES = {
    "type": "value",
    "options": {
        "0": {"text": "failing", "color": "red", "index": 0},
        "1": {"text": "well", "color": "green", "index": 1},
    },
}
_LEGEND = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    STAT: {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": ""},
        "showPercentChange": False,
        "textMode": "value",
        "wideLayout": True,
    },
    LINES: {"legend": _LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}},
    STATES: {"showValue": "never", "rowHeight": 0.9, "legend": _LEGEND, "tooltip": {"mode": "single", "sort": "none"}},
    TABLE: {"showHeader": True, "cellHeight": "sm", "frameIndex": 0},
}
_SHOWN_COLUMNS = [
    {
        "id": "filterFieldsByName",
        "options": {"include": {"names": ["instance", "group", "version"]}},
    }
]
WORKERS = 'job=~"$job",instance=~"$instance"'
"""The labels of the selected workers."""


def dashboard() -> Mapping[str, Any]:
    """Return the dashboard."""
    return {
        "uid": "customer-worker",
        "title": "customer-worker",
        "description": "Health, throughput, lag, outbox, dead letters and errors of customer-worker.",
        "tags": ["customer-worker", "kafka"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": [_restarts()]},
        "templating": {"list": list(_variables())},
        "panels": list(_panels()),
    }


def _restarts() -> Mapping[str, Any]:
    return {
        "name": "Starts",
        "datasource": _DATASOURCE,
        "enable": True,
        "iconColor": "blue",
        "expr": f"changes(customer_worker_start_time_seconds{{{WORKERS}}}[1m]) > 0",
        "titleFormat": "start of {{instance}}",
    }


def _variables() -> Iterator[Mapping[str, Any]]:
    yield {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"}
    yield _variable("job", "Job", "label_values(customer_worker_info, job)", is_multi=False)
    yield _variable("group", "Consumer group", 'label_values(customer_worker_info{job=~"$job"}, group)')
    yield _variable("instance", "Instance", 'label_values(customer_worker_info{job=~"$job",group=~"$group"}, instance)')


def _variable(name: str, label: str, query: str, *, is_multi: bool = True) -> Mapping[str, Any]:
    every = {"text": ["All"], "value": ["$__all"]}
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": _DATASOURCE,
        "definition": query,
        "query": query,
        "refresh": 2,  # when the time range changes
        "sort": 1,
        "multi": is_multi,
        "includeAll": is_multi,
        **({"current": every} if is_multi else {}),
    }


def _panels() -> Iterator[Mapping[str, Any]]:
    """Yield rows and panels with their places: from left to right, then downwards."""
    number = top = 0
    for row in tomllib.loads(files(__package__).joinpath("dashboard.toml").read_text())["rows"]:
        number += 1
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        yield {"type": "row", "id": number, "title": row["title"], "collapsed": False, "panels": [], "gridPos": place}
        top, left, height = top + 1, 0, 0
        for panel in row["panels"]:
            number += 1
            width = panel.get("width", DEFAULT_WIDTH)
            if left + width > COLUMNS:
                top, left, height = top + height, 0, 0
            place = {"x": left, "y": top, "w": width, "h": _HEIGHTS[panel["kind"]]}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            left, height = left + width, max(height, _HEIGHTS[panel["kind"]])
        top += height


def _panel(panel: Panel) -> Mapping[str, Any]:
    kind = panel["kind"]
    return {
        "type": kind,
        "title": panel["title"],
        "description": panel["description"],
        "datasource": _DATASOURCE,
        "targets": list(_targets(panel)),
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _OPTIONS[kind],
        **({"transformations": _SHOWN_COLUMNS} if kind == TABLE else {}),
    }


def _targets(panel: Panel) -> Iterator[Mapping[str, Any]]:
    is_instant = panel["kind"] in {STAT, TABLE}
    for letter, (expression, legend) in zip(ascii_uppercase, _queries(panel), strict=False):
        yield {
            "refId": letter,
            "datasource": _DATASOURCE,
            "expr": expression.replace("WORKERS", WORKERS),
            "legendFormat": legend or "__auto",
            "instant": is_instant,
            "range": not is_instant,
            **({"format": "table"} if panel["kind"] == TABLE else {}),
        }


def _queries(panel: Panel) -> Iterator[tuple[str, str]]:
    """Yield the queries of a panel and the names of their series."""
    if histogram := panel.get("histogram"):
        by = panel.get("by")
        buckets = f"rate({histogram}_bucket{{WORKERS}}[$__rate_interval])"
        for quantile, name in ((0.5, "p50"), (0.99, "p99")):
            summed = f"sum by (le{f', {by}' if by else ''}) ({buckets})"
            yield f"histogram_quantile({quantile}, {summed})", f"{{{{{by}}}}} {name}" if by else name
    else:
        for query in panel.get("queries", [panel]):
            yield query["expr"], query.get("legend", "")


def _defaults(panel: Panel) -> Mapping[str, Any]:
    if panel["kind"] == STATES:
        return {"mappings": [_STATES], "thresholds": _thresholds("red", (1, "green")), "color": {"mode": "thresholds"}}
    limits = {"thresholds": _thresholds("green", (panel["red_from"], "red"))} if "red_from" in panel else {}
    return {"unit": panel.get("unit", "short"), **limits}


def _thresholds(base: str, *steps: tuple[float, str]) -> Mapping[str, Any]:
    first = {"value": None, "color": base}
    return {"mode": "absolute", "steps": [first, *({"value": value, "color": color} for value, color in steps)]}
