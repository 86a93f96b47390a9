"""Pages of customers, parked cancellations, the contract and the reconciliation."""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.builders import (
    ADA,
    BOB,
    CANCELLATIONS,
    CHURNED,
    EVE,
    SIGNUPS,
    apply,
    cancellation,
    customer_id,
    record,
    signup,
    signup_value,
)
from tests.support.html import Page
from tests.support.shown_worker import ShownWorker, shown, with_worker
from tests.worker.clock import Clock
from worker.http.pages import reconcile_run
from worker.queries import server
from worker.queries.server import QueryServer
from worker.settings import Kafka, Settings
from worker.stores.duckdb.store import DuckDBStore


def test_customer_has_a_timeline_of_decisions(store: DuckDBStore) -> None:
    apply(store, [signup(0), cancellation(0), cancellation(1, ADA, "2026-07-01")])
    page = shown(store, f"/customer?id={ADA.upper()}")
    assert "Churned 2026-06-30 lost $5,988.00 ARR" in page.text
    assert "growth, FinTech" in page.text
    words = ["new customer", "the customer churned", "already_churned"]
    assert sorted(words, key=page.text.index) == words
    assert f"Record {CANCELLATIONS}/0/0" in page.text
    assert ": not published yet" in page.text
    assert f"dead-letter?id={CANCELLATIONS}/0/1" in page.links


def test_published_event_is_shown_as_such(store: DuckDBStore) -> None:
    apply(store, [signup(0), cancellation(0)])
    store.mark_published(store.last_seq, {})
    store.write_mark()
    assert "✓ published" in shown(store, f"/customer?id={ADA}").text


def test_customer_without_a_signup_is_shown_with_what_waits(store: DuckDBStore) -> None:
    apply(store, [cancellation(0, EVE)])
    text = shown(store, f"/customer?id={EVE}").text
    assert "Has not signed up" in text
    assert "A cancellation for 2026-06-30 waits for the signup since" in text


def test_unknown_customer_is_not_found(store: DuckDBStore) -> None:
    async def body(worker: ShownWorker) -> int:
        return (await worker.get_by_socket(f"/customer?id={BOB}")).status

    assert with_worker(store, body) == 404


def test_search_without_an_id_is_a_form(store: DuckDBStore) -> None:
    page = shown(store, "/customer")
    assert [attributes["action"] for tag, attributes in page.tags if tag == "form"] == ["customer", "customer"]


def test_records_are_read_on_demand_and_without_kafka_not_shown(store: DuckDBStore) -> None:
    apply(store, [signup(0)])
    unreachable = Settings(kafka=Kafka(bootstrap_servers="127.0.0.1:1"))
    assert f"customer?id={ADA}&records=read" in shown(store, f"/customer?id={ADA}").links
    text = shown(store, f"/customer?id={ADA}&records=read", unreachable).text
    assert "The records cannot be read:" in text
    assert "new customer" in text


def test_parked_cancellations_are_listed_by_age(store: DuckDBStore, clock: Clock) -> None:
    now = datetime.now(UTC)
    ages = [timedelta(minutes=1), timedelta(hours=5), timedelta(days=3), timedelta(days=40), timedelta(days=50)]
    for number, age in reversed(list(enumerate(ages))):
        clock.now = now - age
        apply(store, [cancellation(number, customer_id(number))])
    page = shown(store, "/parked")
    ages_shown = page.table("Parked cancellations by the age of the customer's first")
    assert {age: row[:2] for age, row in ages_shown.items()} == {
        "under 1 hour": ["1", "1"],
        "1 hour to 1 day": ["1", "1"],
        "1 to 7 days": ["1", "1"],
        "7 to 30 days": ["0", "0"],
        "over 30 days": ["2", "2"],
    }
    assert next(iter(page.table("Customers with parked cancellations"))) == customer_id(4)
    assert "oldest 50 d" in page.text
    assert "customer-worker parked dead-letter --older-than 30d --execute" in page.text


def test_parked_customer_with_a_rejected_signup_is_marked(store: DuckDBStore) -> None:
    apply(store, [record(signup_value(ADA, plan_tier='"platinum"'), offset=0)])
    apply(store, [cancellation(0), cancellation(1, EVE), cancellation(2, EVE, cancellation_date="7")])
    page = shown(store, "/parked")
    rows = page.table("Customers with parked cancellations")
    assert (rows[ADA][3], rows[EVE][3]) == ("is a dead letter", "not received")
    assert f"dead-letters?customer={ADA}" in page.links


def test_nothing_parked_has_no_commands(store: DuckDBStore) -> None:
    page = shown(store, "/parked")
    assert "0 of 0 customers" in page.text
    assert "--execute" not in page.text


def test_contract_lists_topics_messages_and_fields(store: DuckDBStore) -> None:
    page = shown(store, "/contract")
    for topic in (SIGNUPS, CANCELLATIONS, CHURNED, f"{SIGNUPS}-dlt", f"{CANCELLATIONS}-dlt"):
        assert f"{topic} {'read' if topic in {SIGNUPS, CANCELLATIONS} else 'written'} by the worker" in page.text
    rows = [row for row in page.tables["Value"] if row[0] == "lost_arr"]
    assert rows == [["lost_arr", "object: amount, currency", "required", "12 x MRR, rounded half up to cents"]]
    assert {"asyncapi.json", "schemas/signup.json", "schemas/churned.json"} <= set(page.links)


def test_query_that_takes_too_long_is_said_so(store: DuckDBStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "TIME_LIMIT_SECONDS", 0.0)
    monkeypatch.setattr(QueryServer.__init__, "__defaults__", (0.0,))

    async def body(worker: ShownWorker) -> tuple[int, str]:
        found = await worker.get_by_socket("/dead-letters")
        return found.status, Page(found.body.decode()).text

    status, text = with_worker(store, body)
    assert status == 503
    assert "The store did not answer" in text


SUM = {"count": 2, "lost_arr": "11976.00"}
NONE = {"count": 0, "lost_arr": "0.00"}


def day(name: str, *, equal: bool = True, pending: int = 0) -> dict[str, object]:
    topic = SUM if equal else NONE
    sides = {"customers": SUM, "events": SUM, "topic": topic, "erased": NONE, "pending": {**NONE, "count": pending}}
    return {"day": name, "equal": equal, **sides}


REPORT = {
    "equal": False,
    "total": {},
    "days": [day("2026-06-01"), day("2026-06-02", equal=False), day("2026-06-03", pending=1), day("2026-06-04")],
    "differences": [{"customer_id": ADA, "what": "the event was published, but is not on the topic"}],
    "no_events": [],
    "tombstones": 0,
    "ineffective_tombstones": [],
    "receipts_without_customer": 0,
    "read_before": 0,
}


def task_of(worker: ShownWorker) -> asyncio.Task[None]:
    task = worker.pages._customer_data._runs._task
    assert task is not None
    return task


def compared(store: DuckDBStore, monkeypatch: pytest.MonkeyPatch, script: str, query: str = "") -> Page:
    """Return the page after a comparison by a program in place of the command."""
    monkeypatch.setattr(reconcile_run, "COMMAND", (sys.executable, "-c", script))

    async def body(worker: ShownWorker) -> Page:
        started = await worker.get_by_socket(f"/reconcile-start{query}")
        assert started.status == 303
        assert "Comparing for " in (await worker.show("/reconcile")).text
        await asyncio.wait([task_of(worker)], timeout=20)
        return await worker.show(f"/{started.headers['location']}")

    return with_worker(store, body)


def test_comparison_shows_differences_first(store: DuckDBStore, monkeypatch: pytest.MonkeyPatch) -> None:
    script = f"import sys; print({json.dumps(json.dumps(REPORT))}); sys.exit(1)"
    page = compared(store, monkeypatch, script, "?from=2026-06-01&to=2026-06-30")
    assert "1 difference" in page.text
    assert page.table("Customers that differ") == {ADA: ["the event was published, but is not on the topic"]}
    days = page.table("Days")
    assert list(days) == ["2026-06-02", "2026-06-03", "2026-06-04", "2026-06-01"]
    assert days["2026-06-02"][:4] == ["≠ different", "2", "2", "0"]
    assert "customer-worker reconcile --from 2026-06-01 --to 2026-06-30" in page.text


def test_failed_comparison_is_shown_with_its_reason(store: DuckDBStore, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import sys; print('no topic', file=sys.stderr); sys.exit(69)"
    assert "The comparison failed no topic" in compared(store, monkeypatch, script).text


def test_comparison_runs_once_and_ends_with_the_worker(
    store: DuckDBStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    script = f"import os, time; open({str(pipe)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    monkeypatch.setattr(reconcile_run, "COMMAND", (sys.executable, "-c", script))

    async def body(worker: ShownWorker) -> int:
        await worker.get_by_socket("/reconcile-start")
        task = task_of(worker)
        pid = int(await asyncio.to_thread(pipe.read_text))
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, own + 10)
        await worker.get_by_socket("/reconcile-start")
        assert task_of(worker) is task
        await worker.pages.close()
        return pid

    with pytest.raises(ProcessLookupError):
        os.kill(with_worker(store, body), 0)
