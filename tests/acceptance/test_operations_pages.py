"""The pages of a running worker: truthful while Kafka is frozen or killed, the disk is full, or the store is locked."""

from __future__ import annotations

import sys
import time
import urllib.request
from collections.abc import Callable

import psycopg
import pytest

from tests.acceptance.failing_store import LARGEST_FILE
from tests.support.builders import ADA, cancellation_value, customer_id, signup_value
from tests.support.html import Page
from tests.support.operating import serve
from tests.support.records import Message
from tests.support.stage import Stage
from tests.support.worker_process import WorkerProcess

pytestmark = pytest.mark.timeout(180)
FAILING_STORE = [sys.executable, "-m", "tests.acceptance.failing_store", "run"]
TOKEN = "0123456789abcdef"
LIMIT_S = 60.0
LONGEST_ANSWER_S = 15.0
"""Far above the two seconds for a store that does not answer: the machine may be busy."""


def page_of(stage: Stage, path: str = "/", token: str | None = None) -> Page:
    """Return a page of the stage's worker. An error, or a late answer, fails."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"http://127.0.0.1:{stage.settings['HTTP__PORT']}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=LONGEST_ANSWER_S) as answer:
        return Page(answer.read().decode())


def wait_for(stage: Stage, worker: WorkerProcess, title: str, path: str = "/") -> Page:
    """Wait until the overview has this title; it is served all the time."""
    found: list[Page] = []

    def has_title() -> bool:
        found[:] = [page_of(stage, path)]
        return found[0].contents["title"].startswith(title)

    worker.wait_until(has_title, f"the title {title}", LIMIT_S)
    return found[0]


def started(stage: Stage, command: list[str] | None = None, **settings: str) -> WorkerProcess:
    serve(stage)
    stage.create_topics(1)
    worker = stage.start(command, LOG__FORMAT="json", **settings)
    worker.wait_until(lambda: bool(worker.events("serving")), "serving", LIMIT_S)
    wait_for(stage, worker, "Caught up")
    return worker


def signups(count: int, first: int = 0) -> list[Message]:
    return [Message("signup", None, signup_value(customer_id(number)), (), 0) for number in range(first, first + count)]


def parked(stage: Stage) -> list[Message]:
    return [Message("cancellation", None, cancellation_value(ADA), (), 0)]


def once(stage: Stage, worker: WorkerProcess, condition: Callable[[Page], bool]) -> Page:
    """Wait until the overview satisfies a condition."""
    found: list[Page] = []

    def holds() -> bool:
        found[:] = [page_of(stage)]
        return condition(found[0])

    worker.wait_until(holds, "the overview", LIMIT_S)
    return found[0]


def test_overview_is_truthful_without_kafka(mortal_stage: Stage) -> None:
    stage = mortal_stage
    [broker] = stage.kafka.nodes
    worker = started(stage)
    stage.produce([*signups(10), *parked(stage)])
    place = f"{stage.topics.signup}/0"
    once(stage, worker, lambda page: page.table("Partitions, by lag").get(place, [""])[0] == "10")
    for stop, resume in ((broker.pause, broker.resume), (broker.kill, broker.restart)):
        stop()
        page = wait_for(stage, worker, "Kafka does not answer")
        assert "Kafka has not answered since." in page.text
        assert page.table("Partitions, by lag")[place][:2] == ["10", "0"]
        assert "Parked cancellations 1" in page.text
        resume()
        wait_for(stage, worker, "Caught up")


def test_overview_names_a_full_disk_and_keeps_the_last_figures(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LARGEST_FILE, str(1024 * 1024))  # commits fail as on a full disk
    worker = started(stage, FAILING_STORE)
    stage.produce(parked(stage))
    once(stage, worker, lambda page: "Parked cancellations 1" in page.text)
    stage.produce(signups(20_000))
    page = wait_for(stage, worker, "The store fails")
    assert "The last batch failed: " in page.text
    assert "File too large" in page.text
    assert "Parked cancellations 1" in page.text
    assert "✕ 1 of 11 failed" in page.text


def test_overview_answers_while_the_store_is_locked(stage: Stage, url: str) -> None:
    worker = started(stage)
    stage.produce(parked(stage))
    once(stage, worker, lambda page: "Parked cancellations 1" in page.text)
    with psycopg.connect(url) as db:
        db.execute("LOCK TABLE parked, customers IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        page = wait_for(stage, worker, "The store cannot be read")
        assert time.monotonic() - began < LIMIT_S
        assert "The store has not answered for" in page.text
        assert "Parked cancellations 1" in page.text
    wait_for(stage, worker, "Caught up")


def test_records_and_days_are_read_from_the_topics(stage: Stage) -> None:
    worker = started(stage, HTTP__TOKEN=TOKEN)
    stage.produce([Message("signup", None, signup_value(ADA), (), 0), *parked(stage), *signups(3)])
    stage.wait_until_published(worker)
    page = page_of(stage, f"/customer?id={ADA}&records=read", TOKEN)
    assert '"plan_tier": "growth"' in page.text
    assert '"cancellation_date": "2026-06-30"' in page.text
    page_of(stage, "/reconcile-start?from=2026-06-01&to=2026-06-30", TOKEN)
    shown: list[Page] = []

    def is_compared() -> bool:
        shown[:] = [page_of(stage, "/reconcile", TOKEN)]
        return "compared at" in shown[0].text

    worker.wait_until(is_compared, "a comparison", LIMIT_S)
    assert "Customers, outbox and topic agree" in shown[0].text
    assert shown[0].table("Days")["2026-06-30"][:4] == ["✓ equal", "1", "1", "1"]
    assert worker.stop() == 0
