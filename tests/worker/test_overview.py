"""The overview: truthful in each state, complete, accessible, safe with any value, and without customer data."""

import asyncio
import base64
import hashlib
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.builders import (
    ADA,
    BOB,
    CANCELLATIONS,
    EVE,
    SIGNUPS,
    apply,
    cancellation,
    customer_id,
    record,
    signup,
)
from tests.support.html import Page
from tests.support.shown_worker import Past, ShownWorker, shown, with_worker
from tests.worker.clock import Clock
from worker.http.pages.frame import POLICY
from worker.monitoring import gauges
from worker.monitoring.gauges import Gauges
from worker.processing.report import BatchReport
from worker.settings import Kafka, Settings
from worker.stores.duckdb.file import MEMORY
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.errors import StoreError

EVIL = "<script>alert(1)</script>\"'&"
TODAY = datetime.now(UTC).date()


def overview(store: DuckDBStore, change: Callable[[ShownWorker], Any] = lambda _: None, **settings: Any) -> Page:
    async def body(worker: ShownWorker) -> Page:
        change(worker)
        return await worker.show()

    return with_worker(store, body, Settings(**settings))


def fill(store: DuckDBStore, *, churned_on: str = str(TODAY)) -> None:
    """Store Ada, who churns, Bob, a rejected signup, and a parked cancellation of Eve."""
    apply(store, [signup(0), signup(1, BOB), record(None, offset=2)])
    apply(store, [cancellation(0, ADA, churned_on), cancellation(1, EVE)])


def test_healthy_worker_is_caught_up(store: DuckDBStore) -> None:
    page = overview(store, lambda worker: worker.has_lag({(SIGNUPS, 0): 0}))
    assert page.contents["title"] == "Caught up · customer-worker"
    assert "Every record on the input topics is decided and published." in page.text
    assert "✓ all 11 passed" in page.text


def test_failing_check_is_the_verdict_and_is_unfolded(store: DuckDBStore) -> None:
    page = overview(store, lambda worker: setattr(worker.consumer.applier, "failure", "No space left on device"))
    assert page.contents["title"] == "The store fails · customer-worker"
    assert "The last batch failed: No space left on device." in page.text
    assert page.table("Checks")["store"] == ["✕ failed", "the last batch failed: No space left on device"]
    assert [attributes for tag, attributes in page.tags if tag == "details" and "open" in attributes] == [
        {"id": "checks", "open": None}
    ]


def test_what_waits_has_number_arr_and_age(store: DuckDBStore, clock: Clock) -> None:
    clock.now = datetime.now(UTC) - timedelta(hours=3)
    fill(store)
    text = overview(store).text
    assert "Dead letters 1 $0.00 ARR at stake oldest 3 h" in text
    assert "Parked cancellations 1 ARR at stake unknown until the signup oldest 3 h" in text
    assert "Records to publish 2 oldest 3 h" in text


def test_arr_lost_is_shown_by_churn_date(store: DuckDBStore) -> None:
    fill(store)
    page = overview(store)
    assert page.table("ARR lost by day") == {str(TODAY): ["1", "$5,988.00"]}
    assert f"most on {TODAY} with $5,988.00" in str(page.tags)
    assert "after today" not in page.text


def test_later_churn_is_named_beside_the_days(store: DuckDBStore) -> None:
    fill(store, churned_on=str(TODAY + timedelta(days=3)))
    page = overview(store)
    assert "1 customer churns after today, with $5,988.00 of ARR." in page.text
    assert "$0.00 0 customers" in page.text


def test_churn_before_the_days_is_not_counted(store: DuckDBStore) -> None:
    fill(store, churned_on=str(TODAY - timedelta(days=30)))
    assert "$0.00 0 customers" in overview(store).text


def test_partitions_are_ordered_by_lag_with_totals_and_folded(store: DuckDBStore) -> None:
    lags = {(SIGNUPS, number): number for number in range(20)} | {(CANCELLATIONS, 0): 500}
    page = overview(store, lambda worker: worker.has_lag(lags))
    assert {topic: row[:2] for topic, row in page.table("Input topics").items()} == {
        SIGNUPS: ["20", "190"],
        CANCELLATIONS: ["1", "500"],
    }
    first = list(page.table("Partitions, by lag"))
    assert first[:2] == [f"{CANCELLATIONS}/0", f"{SIGNUPS}/19"]
    assert len(first) == 16
    assert len(page.table("Further partitions")) == 5
    assert "5 more partitions, with a lag of 10 in all" in page.text


def test_history_is_drawn_and_listed_by_minute(store: DuckDBStore) -> None:
    past = [Past(500, 1_000, [0.1, 0.3], {3: 10}) for _ in range(24)]
    page = overview(store, lambda worker: worker.has_run(past))
    labels = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg" and attributes.get("role")]
    assert labels[:5] == [
        "Records read, per second: 100 in the last minute; the highest of the last 15 minutes is 100.",
        "Events published, per second: 2 in the last minute; the highest of the last 15 minutes is 2.",
        "Lag in records: 1,000 now; the highest of the last 15 minutes is 1,000.",
        "Batch time: median 300 ms, 99th percentile 300 ms over the last 15 minutes.",
        "Record to event: median 75 ms, 99th percentile 100 ms over the last 15 minutes.",
    ]
    rows = page.table("Figures by minute, UTC")
    assert list(rows.values())[-1] == ["100", "2", "1,000", "300 ms", "300 ms", "75 ms", "100 ms"]


def test_lines_have_gaps_where_nothing_was_measured(store: DuckDBStore) -> None:
    past = [Past(5, lag, [], {}) for lag in (1, 2, 3, None, None, 4, None, 5, 6)]
    page = overview(store, lambda worker: worker.has_run(past))
    lag_path = [attributes["d"] or "" for tag, attributes in page.tags if tag == "path"][8]
    assert lag_path.count("M") == 3
    assert lag_path.count("h.1") == 1


def test_starting_worker_says_what_it_waits_for(store: DuckDBStore) -> None:
    def joins(worker: ShownWorker) -> None:
        worker.consumer.assignment.is_set.clear()
        worker.consumer.joining._over.clear()
        worker.consumer.joining.reason = "the brokers cannot be reached"
        worker.is_cut_off(42)

    page = overview(store, joins)
    assert "Kafka has not answered" not in page.text
    assert "Joining the consumer group" in page.text
    assert "Waiting: the brokers cannot be reached." in page.text
    assert "Nothing was measured yet." in page.text
    assert page.table("Input topics")[SIGNUPS] == ["0", "0", "—", "not known yet"]


def test_silent_kafka_leaves_the_last_lag_marked_as_old(store: DuckDBStore) -> None:
    def cut_off(worker: ShownWorker) -> None:
        worker.has_lag({(SIGNUPS, 0): 1_234})
        worker.is_cut_off(42)

    page = overview(store, cut_off)
    assert page.contents["title"].startswith("Kafka does not answer")
    assert re.search(r"Lag and partitions are as of 4\d s ago: Kafka has not answered since\.", page.text)
    assert page.table("Partitions, by lag")[f"{SIGNUPS}/0"][1] == "1,234"


def test_failed_store_leaves_the_last_figures_marked_as_old(store: DuckDBStore) -> None:
    fill(store)

    async def body(worker: ShownWorker) -> Page:
        await worker.show()

        def fails() -> None:
            raise StoreError("the store failed: disk I/O error")

        worker.gauges._store = broken = DuckDBStore(MEMORY)
        broken.view = fails  # type: ignore[assignment, method-assign]
        assert "customer_worker_parked" not in (await worker.get("/metrics")).body.decode()
        return await worker.show()

    page = with_worker(store, body)
    assert page.contents["title"].startswith("The store cannot be read")
    assert re.search(r"What waits and positions are as of \d+ s ago: the store failed: disk I/O error\.", page.text)
    assert "Parked cancellations 1" in page.text


def test_hanging_store_does_not_hold_up_the_page(store: DuckDBStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store)
    monkeypatch.setattr(gauges, "READ_SECONDS", 0.05)
    free = threading.Event()

    async def body(worker: ShownWorker) -> Page:
        await worker.show()
        view = worker.store.view

        def hangs() -> object:
            free.wait(20)
            return view()

        worker.store.view = hangs  # type: ignore[method-assign, assignment]
        began = time.monotonic()
        page = await worker.show()
        assert time.monotonic() - began < 5
        free.set()
        return page

    page = with_worker(store, body)
    assert "The store has not answered for" in page.text
    assert "Parked cancellations 1" in page.text


def test_store_that_was_never_read_is_said_so(store: DuckDBStore) -> None:
    def breaks(worker: ShownWorker) -> None:
        def fails() -> None:
            raise StoreError("it is locked")

        worker.store.view = fails  # type: ignore[method-assign, assignment]

    text = overview(store, breaks).text
    assert "nothing was read since the start: it is locked" in text
    assert "The store has not been read yet." in text


def test_decisions_and_reasons_are_counted(store: DuckDBStore) -> None:
    def decides(worker: ShownWorker) -> None:
        records = [signup(0), signup(1), record(None, offset=2), cancellation(0)]
        worker.metrics.applied(len(records), apply(store, records), {})
        worker.consumer.applier.last_batch = BatchReport(datetime.now(UTC), 1_234, {}, 0, 0.25)

    page = overview(store, decides)
    assert page.table("Decisions, by topic") == {SIGNUPS: ["1", "1", "0", "1"], CANCELLATIONS: ["1", "0", "0", "0"]}
    assert page.table("Rejected, by reason") == {"empty": ["1"]}
    assert "Last batch 1,234 records in 250 ms, " in page.text
    assert "ARR lost since the start $5,988.00" in page.text


def test_shown_values_are_escaped(store: DuckDBStore) -> None:
    def evil(worker: ShownWorker) -> None:
        worker.consumer.applier.failure = f"{EVIL}\x1b[31m\u202e"

    page = overview(store, evil, kafka=Kafka(group_id=EVIL))
    assert page.names().count("script") == 1
    assert f"The last batch failed: {EVIL}\\x1b[31m\\u202e." in page.text
    assert f"customer-worker {EVIL}" in page.text


def test_policy_allows_the_style_and_the_script_of_the_page(store: DuckDBStore) -> None:
    page = shown(store)
    directives = dict(part.strip().split(" ", 1) for part in POLICY.split(";"))
    for directive, tag in (("style-src", "style"), ("script-src", "script")):
        digest = base64.b64encode(hashlib.sha256(page.contents[tag].encode()).digest()).decode()
        assert directives[directive] == f"'sha256-{digest}'"
    assert directives["default-src"] == directives["frame-ancestors"] == directives["base-uri"] == "'none'"
    assert "unsafe" not in POLICY
    attributes = [attributes for _, attributes in page.tags]
    assert not [each for each in attributes if "style" in each or any(name.startswith("on") for name in each)]


def test_page_is_accessible(store: DuckDBStore) -> None:
    page = overview(store, lambda worker: worker.has_lag({(SIGNUPS, 0): 0}))
    assert ("html", {"lang": "en"}) in page.tags
    assert page.names().count("h1") == page.names().count("main") == 1
    assert page.names().count("table") == page.names().count("caption") == len(page.tables)
    heads = [attributes.get("scope") for name, attributes in page.tags if name == "th"]
    assert set(heads) == {"col", "row"}
    assert any(attributes.get("name") == "viewport" for name, attributes in page.tags if name == "meta")
    assert "prefers-color-scheme: dark" in page.contents["style"]


def test_page_refreshes_unless_stopped(store: DuckDBStore) -> None:
    again = ("meta", {"http-equiv": "refresh", "content": "10"})
    assert again in shown(store).tags
    page = shown(store, "/?refresh=off")
    assert again not in page.tags
    assert not [attributes for tag, attributes in page.tags if tag == "body" and attributes]


def test_links_are_relative_and_served(store: DuckDBStore) -> None:
    async def body(worker: ShownWorker) -> None:
        page = await worker.show()
        links = {link.partition("#")[0] for link in page.links}
        assert {".", "dead-letters", "parked", "contract", "metrics", "readyz?verbose", "asyncapi.json"} <= links
        assert not [link for link in links if link.startswith(("/", "http"))]
        icons = [attributes["href"] or "" for tag, attributes in page.tags if tag == "link"]
        for link in {"/contract", *(f"/{icon}" for icon in icons), "/metrics", "/asyncapi.json"}:
            assert (await worker.get(link)).status == 200

    with_worker(store, body)


def test_overview_has_no_customer_data(store: DuckDBStore) -> None:
    fill(store)
    apply(store, [record(b"marked content", offset=5, key=b"marked key", headers=[("marked", b"marked header")])])

    async def body(worker: ShownWorker) -> str:
        worker.has_lag({(SIGNUPS, 0): 5})
        return (await worker.get("/")).body.decode()

    text = with_worker(store, body)
    assert not [mark for mark in (ADA, BOB, EVE, customer_id(0)[:8], "marked") if mark in text]


def test_numbers_of_the_metric_and_the_page_agree(store: DuckDBStore) -> None:
    fill(store)
    platinum = [signup(number, customer_id(number), plan_tier='"platinum"') for number in range(10, 13)]
    apply(store, [*platinum, *platinum[:1]])

    async def body(worker: ShownWorker) -> tuple[str, str]:
        metrics = (await worker.get("/metrics")).body.decode()
        return metrics, (await worker.show()).text

    metrics, text = with_worker(store, body)
    assert "customer_worker_dead_letter_arr_dollars 17964.0" in metrics
    assert "$17,964.00 ARR at stake" in text


def test_gauges_read_the_store_once_for_requests_at_once(store: DuckDBStore) -> None:
    views = []

    async def body(worker: ShownWorker) -> None:
        view = worker.store.view
        worker.store.view = lambda: (views.append(1), view())[1]  # type: ignore[method-assign, func-returns-value]
        reading: Gauges = worker.gauges
        await asyncio.gather(*(reading.read() for _ in range(20)))

    with_worker(store, body)
    assert len(views) == 2  # the backlog, and the ARR at stake
