"""The operations page: complete, accessible, and safe with any value."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser

from tests.support.builders import ADA, CANCELLATIONS, SIGNUPS, apply, cancellation, record, signup
from worker.http.operations_page import OperationsPage
from worker.http.server import _CONTENT_SECURITY_POLICY
from worker.metrics.counters import Metrics
from worker.monitoring.checks import Check
from worker.monitoring.gauges import Reading, StoreReading
from worker.monitoring.worker_report import WorkerReport
from worker.processing.report import BatchReport
from worker.settings import Kafka, Settings
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.reading import AtStake, Waiting

EVIL = "<script>alert(1)</script>\"'&"
STARTED = datetime(2026, 7, 1, 12, tzinfo=UTC)
REPORT = WorkerReport("1.2.3", STARTED, [], BatchReport(STARTED, 1_234, {}, 0, 0.25))
WELL = [Check("poll", is_well=True, found="last poll 0.1 s ago"), Check("store", is_well=True, found="fine")]


class Page(HTMLParser):
    """The parsed page: its tags with their attributes, and each table's rows by its caption."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.style = ""
        self._caption = ""
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "caption":
            self._caption = ""
        if tag == "tr":
            self.tables.setdefault(self._caption, []).append([])
        if tag in {"td", "th"}:
            self.tables[self._caption][-1].append("")

    def handle_data(self, data: str) -> None:
        if self._inside == "caption":
            self._caption += data
        if self._inside == "style":
            self.style += data
        if self._inside in {"td", "th"}:
            self.tables[self._caption][-1][-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def names(self) -> list[str]:
        return [name for name, _ in self.tags]

    def table(self, caption: str) -> dict[str, list[str]]:
        """Return the rows of the table whose caption begins so, by their first cell, without its head."""
        (rows,) = [rows for name, rows in self.tables.items() if name.startswith(caption)]
        return {row[0]: row[1:] for row in rows[1:]}


def reading(checks: list[Check] | None = None, *, store: bool = True) -> Reading:
    since = datetime.now(UTC) - timedelta(hours=3)
    stored = StoreReading({}, Waiting(12, since, 3, None), AtStake(4, Decimal("1234567.89")), 5 * 1024**2)
    lag = {(SIGNUPS, 1): 1_200, (CANCELLATIONS, 0): 0}
    positions = {(SIGNUPS, 1): 98_765, (CANCELLATIONS, 0): 7}
    return Reading(WELL if checks is None else checks, positions if store else {}, lag, stored if store else None)


def shown(metrics: Metrics | None = None, read: Reading | None = None, settings: Settings | None = None) -> Page:
    settings = settings or Settings()
    page = OperationsPage(settings, metrics or Metrics(settings.topics))
    return Page(page.render(REPORT, read or reading()))


def test_healthy_worker_is_shown_first() -> None:
    html = OperationsPage(Settings(), Metrics(Settings().topics)).render(REPORT, reading())
    assert "<title>Healthy: customer-worker</title>" in html
    assert "Unhealthy" not in html
    assert Page(html).table("Checks") == {
        "poll": ["✓ ok", "last poll 0.1 s ago"],
        "store": ["✓ ok", "fine"],
    }


def test_unhealthy_worker_names_the_failed_check_and_advice() -> None:
    sick = reading([*WELL, Check("outbox", is_well=False, found="", advice="publishing fails: see the log")])
    html = OperationsPage(Settings(), Metrics(Settings().topics)).render(REPORT, sick)
    assert "<title>Unhealthy: customer-worker</title>" in html
    assert "Failed checks: outbox." in html
    assert Page(html).table("Checks")["outbox"] == ["✗ failed", "publishing fails: see the log"]


def test_waiting_records_are_shown_with_age_and_arr() -> None:
    assert shown().table("Backlog") == {
        "parked cancellations": ["12", "3 hours", ""],
        "unpublished records in the outbox": ["3", "", ""],
        "open dead letters": ["4", "", "$1,234,567.89 of ARR at stake"],
    }


def test_positions_and_lag_are_shown_with_totals() -> None:
    assert shown().table("Positions and lag: 1,200 records") == {
        f"{CANCELLATIONS}/0": ["7", "0"],
        f"{SIGNUPS}/1": ["98,765", "1,200"],
    }


def test_decisions_are_counted_by_topic_and_reason(store: DuckDBStore) -> None:
    metrics = Metrics(Settings().topics)
    records = [signup(0), signup(1), record(None, offset=2), cancellation(0), cancellation(1, ADA, "2026-07-01")]
    metrics.applied(len(records), apply(store, records), {})
    page = shown(metrics)
    assert page.table("Decisions") == {SIGNUPS: ["1", "1", "0", "1"], CANCELLATIONS: ["1", "0", "0", "1"]}
    assert page.table("Rejected") == {"empty": ["1"], "already_churned": ["1"]}
    assert page.table("Revenue") == {"ARR lost to churn": ["$5,988.00"]}


def test_no_rejections_are_shown_as_none() -> None:
    assert shown().table("Rejected") == {"none": ["0"]}


def test_version_store_size_and_last_batch_are_shown() -> None:
    facts = shown().table("This worker")
    assert facts["version"] == ["1.2.3"]
    assert facts["store size"] == ["5.0 MiB"]
    assert facts["last batch"] == ["1,234 records in 0.250 s, at 2026-07-01 12:00:00 UTC"]


def test_page_is_shown_with_an_unreadable_store() -> None:
    page = shown(read=reading(store=False))
    assert page.table("Backlog") == {"store": ["not readable", "", ""]}
    assert page.table("Positions and lag: 1,200 records") == {
        f"{CANCELLATIONS}/0": ["unknown", "0"],
        f"{SIGNUPS}/1": ["unknown", "1,200"],
    }


def test_shown_values_are_escaped() -> None:
    settings = Settings(kafka=Kafka(group_id=EVIL))
    page = shown(read=reading([Check(EVIL, is_well=False, found="", advice=EVIL)]), settings=settings)
    assert "script" not in page.names()
    assert page.table("Checks") == {EVIL: ["✗ failed", EVIL]}
    assert page.table("This worker")["group"] == [EVIL]


def test_the_policy_allows_this_style_and_nothing_else() -> None:
    page = shown()
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    directives = dict(part.strip().split(" ", 1) for part in _CONTENT_SECURITY_POLICY.split(";"))
    assert directives["style-src"] == f"'sha256-{digest}'"
    assert directives["default-src"] == directives["frame-ancestors"] == directives["base-uri"] == "'none'"
    assert not [attributes for _, attributes in page.tags if "style" in attributes]
    assert {"script", "img", "link", "iframe", "form"}.isdisjoint(page.names())


def test_page_is_accessible_and_fits_a_phone() -> None:
    page = shown()
    assert ("html", {"lang": "en"}) in page.tags
    assert page.names().count("h1") == 1
    assert {"header", "main", "nav", "footer"} <= set(page.names())
    assert page.names().count("table") == page.names().count("caption") == len(page.tables)
    heads = [attributes.get("scope") for name, attributes in page.tags if name == "th"]
    assert heads
    assert set(heads) == {"col", "row"}
    assert any(attributes.get("name") == "viewport" for name, attributes in page.tags if name == "meta")
    assert "prefers-color-scheme: dark" in page.style


def test_page_refreshes_unless_paused() -> None:
    page = OperationsPage(Settings(), Metrics(Settings().topics))
    again = ("meta", {"http-equiv": "refresh", "content": "10"})
    assert again in Page(page.render(REPORT, reading())).tags
    assert again not in Page(page.render(REPORT, reading(), refreshes=False)).tags


def test_links_are_relative() -> None:
    links = [attributes["href"] for name, attributes in shown().tags if name == "a"]
    assert {"metrics", "readyz?verbose", "asyncapi.json", "schemas/signup.json"} <= set(links)
    assert not [link for link in links if link and link.startswith("/")]
