"""A failing store: the operations page shows it, and no content of a record is logged."""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path

import pytest

from tests.acceptance.failing_store import FAILURES, LARGEST_FILE, QUOTED
from tests.support.builders import cancellation_value, signup_value
from tests.support.operating import serve
from tests.support.records import Message
from tests.support.stage import Stage
from tests.support.worker_process import WorkerProcess

COMMAND = [sys.executable, "-m", "tests.acceptance.failing_store"]
WHO = "c0ffee00-4711-4711-8711-c0ffee004711"
WORD = "marked-content"
AMOUNT = "471147.11"
MARKS = (WHO, WHO.upper(), WORD, AMOUNT)
HEADERS = (("ce_id", f"{WORD}-id".encode()), (f"{WORD}-name", f"{WORD}-value".encode()))
FAILED = "batch failed, retrying"


def marked() -> list[Message]:
    """Return a customer's signups and cancellation, and records that are refused, all with recognisable content."""
    key = f"{WORD}-key".encode()
    mrr = f'{{"amount": "{AMOUNT}", "currency": "USD"}}'
    values = [signup_value(WHO, mrr=mrr), signup_value(WHO.upper(), industry=f'"{WORD}"', mrr=f'"{AMOUNT}1"')]
    bad = [
        signup_value(WORD),
        f'"{WORD}"'.encode(),
        f"{WORD}\xff".encode("latin-1"),
        signup_value(WHO, mrr=f'"{WORD}"'),
    ]
    end = cancellation_value(WHO, "2026-06-30", reason=f'"{WORD}"')
    return [
        *(Message("signup", key, value, HEADERS, 0) for value in values + bad),
        Message("cancellation", key, end, HEADERS, 0),
    ]


def require_no_content(worker: WorkerProcess) -> None:
    said = worker.said()
    assert not [mark for mark in MARKS if mark in said]


@pytest.mark.parametrize("form", ["text", "json"])
def test_failures_that_quote_records_are_logged_without_content(
    stage: Stage, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.create_topics()
    stage.produce(marked())
    monkeypatch.setenv(QUOTED, f"{WORD} {WHO}")
    worker = stage.start([*COMMAND, "run"], LOG__LEVEL="DEBUG", LOG__FORMAT=form)
    stage.finish(worker)
    assert worker.said().count(FAILED) == FAILURES
    assert worker.said().count("message withheld") >= FAILURES
    require_no_content(worker)
    stage.require_as_expected()


def test_page_is_shown_while_the_store_cannot_be_opened(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(stage)
    stage.create_topics(1)
    monkeypatch.setenv(LARGEST_FILE, str(1024 * 1024))
    worker = stage.start([*COMMAND, "run"], LOG__LEVEL="DEBUG", LOG__FORMAT="json")
    worker.wait_until(lambda: bool(worker.events("serving")), "serving")
    worker.wait_until(lambda: "next offset" in page(stage) and f"{stage.topics.signup}/0" in page(stage), "a page")
    put_a_directory_in_place_of(stage.store_file)
    filling = [signup_value(f"00000000-4711-4711-8711-{number:012}") for number in range(20_000)]
    stage.produce([*marked(), *(Message("signup", None, value, (), 0) for value in filling)])
    worker.wait_until(lambda: "What waits and positions are as of" in page(stage), "a page without a store")
    assert "The store fails" in page(stage)
    assert worker.events(FAILED)
    require_no_content(worker)


def put_a_directory_in_place_of(file: Path) -> None:
    """So that the worker, which goes on with what it has open, cannot open it again."""
    file.rename(file.with_suffix(".aside"))
    file.mkdir()


def page(stage: Stage) -> str:
    """Return the operations page; raise where it is an error."""
    with urllib.request.urlopen(f"http://127.0.0.1:{stage.settings['HTTP__PORT']}/", timeout=30) as answer:
        text: str = answer.read().decode()
        return text
