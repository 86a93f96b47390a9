"""Pages of dead letters: groups, filters, paging, one letter with its record, and commands that exist."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tests.documents.shell import require_valid
from tests.support.builders import (
    ADA,
    CANCELLATIONS,
    NOON_MS,
    SIGNUPS,
    STRUCTURED_TYPE,
    apply,
    customer_id,
    record,
    signup,
    signup_value,
    structured_value,
)
from tests.support.html import Page
from tests.support.shown_worker import Answer, shown, with_worker
from tests.worker.clock import Clock
from worker.http.pages import commands
from worker.queries import dead_letters, letter_page
from worker.stores.dead_letters import Filters, Letter
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.port import Store

PLATINUM = '"platinum"'
CUSTOMERS = [customer_id(number) for number in range(60)]
BILLING, CRM = ("ce_source", b"/billing"), ("ce_source", b"/crm")


def refuse(store: Store, numbers: Sequence[int], source: tuple[str, bytes] | None = BILLING) -> None:
    """Store a letter of a signup with an unknown tier, and an ARR at stake of $5,988, for each customer."""
    headers = [source] if source else []
    values = [signup_value(CUSTOMERS[number], plan_tier=PLATINUM) for number in numbers]
    apply(store, [record(value, offset=n, headers=headers) for n, value in zip(numbers, values, strict=True)])


def letters(page: Page) -> list[str]:
    return list(page.table("Dead letters"))


def groups(page: Page) -> list[list[str]]:
    return [row[:5] for row in page.tables["Groups, by ARR at stake"][1:]]


def test_letters_are_grouped_by_reason_sender_and_topic(store: DuckDBStore, clock: Clock) -> None:
    clock.now = datetime.now(UTC) - timedelta(hours=30)
    refuse(store, [0, 1])
    clock.now = datetime.now(UTC) - timedelta(hours=2)
    refuse(store, [2])
    refuse(store, [3], CRM)
    apply(store, [record(b"{", offset=10), record(b"{", CANCELLATIONS, 11)])
    page = shown(store, "/dead-letters")
    assert page.tables["Groups, by ARR at stake"][1:] == [
        ["unknown_plan_tier", "/billing", SIGNUPS, "3", "$17,964.00", "1 d ago", "2 h ago"],
        ["unknown_plan_tier", "/crm", SIGNUPS, "1", "$5,988.00", "2 h ago", "2 h ago"],
        ["malformed", "none", CANCELLATIONS, "1", "$0.00 + 1 unknown", "2 h ago", "2 h ago"],
        ["malformed", "none", SIGNUPS, "1", "$0.00 + 1 unknown", "2 h ago", "2 h ago"],
    ]
    assert "6 letters to decide, $23,952.00 ARR at stake" in page.text


def test_sender_is_read_from_structured_events_too(store: DuckDBStore) -> None:
    value = structured_value(signup_value(plan_tier=PLATINUM), source='"/structured"')
    apply(store, [record(value, offset=0, headers=STRUCTURED_TYPE), record(value, offset=1)])
    assert groups(shown(store, "/dead-letters")) == [["unknown_plan_tier", "/structured", SIGNUPS, "2", "$5,988.00"]]


@pytest.mark.parametrize(
    ("query", "offsets"),
    [
        ("", [11, 10, 3, 2, 1, 0]),
        ("reason=malformed", [11, 10]),
        (f"topic={CANCELLATIONS}", [11]),
        ("sender=%2Fcrm", [3]),
        ("sender=", [11, 10]),
        (f"customer={CUSTOMERS[2].upper()}", [2]),
        ("state=discarded", []),
        ("state=open&reason=unknown_plan_tier&topic=&customer=", [3, 2, 1, 0]),
    ],
)
def test_filters_select_letters_newest_first(store: DuckDBStore, query: str, offsets: list[int]) -> None:
    refuse(store, [0, 1, 2])
    refuse(store, [3], CRM)
    apply(store, [record(b"{", offset=10), record(b"{", CANCELLATIONS, 11)])
    page = shown(store, f"/dead-letters?{query}")
    found = letters(page) if offsets else []
    assert [int(each.rpartition("/")[2]) for each in found] == offsets
    assert f"{len(offsets)} letter" in page.text


def test_group_leads_to_its_own_letters(store: DuckDBStore) -> None:
    refuse(store, [0, 1])
    refuse(store, [2], ("ce_source", b"/a b&c=d/\xe2\x82\xac"))
    refuse(store, [3], None)
    page = shown(store, "/dead-letters")
    links = [link for link in page.links if link.startswith("dead-letters?")]
    assert sorted(len(letters(shown(store, f"/{link}"))) for link in links) == [1, 1, 2]


def test_settled_letters_are_shown_on_demand(store: DuckDBStore) -> None:
    refuse(store, [0, 1])
    store.discard([f"{SIGNUPS}/0/0@{NOON_MS}"], "test record")
    assert letters(shown(store, "/dead-letters")) == [f"{SIGNUPS}/0/1"]
    page = shown(store, "/dead-letters?state=all")
    assert {name: row[0] for name, row in page.table("Dead letters").items()} == {
        f"{SIGNUPS}/0/0": "discarded",
        f"{SIGNUPS}/0/1": "open",
    }


def test_letters_are_shown_in_pages(store: DuckDBStore) -> None:
    refuse(store, range(60))
    first = shown(store, "/dead-letters?reason=unknown_plan_tier")
    assert len(letters(first)) == 50
    [older] = [link for link in first.links if "page=2" in link]
    second = shown(store, f"/{older}")
    assert letters(second) == [f"{SIGNUPS}/0/{number}" for number in reversed(range(10))]
    assert "Page 2 of 2" in second.text
    assert "There are fewer pages." in shown(store, "/dead-letters?page=9").text


def test_number_of_letters_read_is_limited(store: DuckDBStore, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(store, range(60))
    monkeypatch.setattr(letter_page, "MOST_LETTERS", 20)
    read: list[Letter] = []

    def described(*arguments: Any) -> list[Letter]:
        read[:] = dead_letters.described(*arguments)
        return read

    monkeypatch.setattr(letter_page, "described", described)
    page = shown(store, "/dead-letters")
    assert len(read) == 21
    assert letters(page)[0] == f"{SIGNUPS}/0/59"
    assert len(letters(page)) == 20
    assert "Only the newest" in page.text


def refused(store: Store, target: str) -> tuple[int, str]:
    found: Answer = with_worker(store, lambda worker: worker.get_by_socket(target))
    return found.status, Page(found.body.decode()).text


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("/dead-letters?page=0", "page is a number from 1 to 200."),
        ("/dead-letters?page=1e3", "page is a number from 1 to 200."),
        ("/dead-letters?page=%D9%A1", "page is a number from 1 to 200."),
        ("/dead-letters?reason=cheap", "reason is one of empty, too_large"),
        ("/dead-letters?state=gone", "state is one of open, redriven"),
        ("/dead-letters?topic=other", f"topic is one of {SIGNUPS}, {CANCELLATIONS}."),
        ("/dead-letters?customer=1", "customer_id is not a UUID of the form 8-4-4-4-12."),
        ("/dead-letter", "id is the id of a dead letter"),
        (f"/dead-letter?id={'x' * 401}", "id is the id of a dead letter"),
        ("/customer?id=' OR 1=1", "customer_id is not a UUID of the form 8-4-4-4-12."),
        ("/reconcile?from=yesterday", "from is a day: YYYY-MM-DD."),
        ("/reconcile-start?from=2026-07-02&to=2026-07-01", "from is after to."),
    ],
)
def test_invalid_parameter_is_named(store: DuckDBStore, target: str, words: str) -> None:
    status, text = refused(store, target.replace(" ", "%20"))
    assert status == 400
    assert words in text


def test_unknown_letter_is_not_found(store: DuckDBStore) -> None:
    status, text = refused(store, f"/dead-letter?id={SIGNUPS}/0/1")
    assert status == 404
    assert f"No dead letter has the id {SIGNUPS}/0/1." in text


def test_letter_is_shown_with_its_record(store: DuckDBStore) -> None:
    refuse(store, [7])
    page = shown(store, f"/dead-letter?id={quote(f'{SIGNUPS}/0/7@{NOON_MS}')}")
    assert f"ARR at stake $5,988.00 Customer {CUSTOMERS[7]} Sender /billing" in page.text
    assert '"plan_tier": "platinum"' in page.text
    headers = page.table("Key and headers as received, and those of the worker")
    assert headers["ce_source"] == ["/billing"]
    assert headers["__dlq.errors.reason"] == ["unknown_plan_tier"]
    assert headers["key"] == ["null"]


def test_letters_with_the_same_coordinates_are_all_reachable(store: DuckDBStore) -> None:
    value = signup_value(plan_tier=PLATINUM)
    apply(store, [record(value, offset=7)])
    store.forget_position((SIGNUPS, 0), 0)
    apply(store, [record(b"{", offset=7, timestamp=NOON_MS + 5)])
    page = shown(store, f"/dead-letter?id={SIGNUPS}/0/7")
    others = [link for link in page.links if link.startswith("dead-letter?")]
    assert len(others) == 1
    assert "Id" in shown(store, f"/{others[0]}").text


EVIL = [
    (b"<script>alert(1)</script>", "<script>alert(1)</script>"),
    (b"\x1b[31m\x9b\xe2\x80\xae\x07", "\\x1b[31m\\x9b\\u202e\\x07"),
    (b"\xff\x00\xed\xa0\x80", "\\xff\\x00\\xed\\xa0\\x80"),
]


@pytest.mark.parametrize(("content", "words"), EVIL)
def test_content_of_a_record_is_escaped(store: DuckDBStore, content: bytes, words: str) -> None:
    name = content.decode(errors="surrogateescape")
    apply(store, [record(content, offset=0, key=content, headers=[(name, content), ("ce_source", content)])])
    for target in ("/dead-letters", f"/dead-letter?id={SIGNUPS}/0/0"):
        page = shown(store, target)
        assert page.names().count("script") == 1
        assert words in page.text
        assert all(each.isprintable() for each in page.text)


def test_large_record_is_cut(store: DuckDBStore) -> None:
    apply(store, [record(b"[" * 60_000, offset=0, headers=[("long", b"x" * 5_000)] + [("n", b"")] * 300)])
    page = shown(store, f"/dead-letter?id={SIGNUPS}/0/0")
    assert "3,000 more bytes" in page.text
    assert 2_000 * "x" in page.text
    assert 2_001 * "x" not in page.text
    assert "more headers." in page.text
    assert len(page.table("Key and headers as received, and those of the worker")) <= 201


@pytest.mark.parametrize("sender", ["/billing", "", 'it\'s $(rm) "x" `y`', "-x"])
def test_commands_of_a_group_are_real_and_quoted(sender: str) -> None:
    filters = Filters(topic=SIGNUPS, reason="malformed", sender=sender, customer=ADA)
    found = commands.of_letters(filters)
    assert ["--execute" in each.text for each in found] == [False, True, False, True]
    for each in found:
        words = shlex.split(each.text)
        require_valid(words)
        assert sender in words


def test_other_commands_are_real() -> None:
    for each in [
        *commands.of_letter(f"{SIGNUPS}/0/7@{NOON_MS}"),
        *commands.of_parked("30d"),
        commands.reconcile("2026-06-01", ""),
    ]:
        require_valid(shlex.split(each.text))


def test_dry_run_comes_before_its_execution(store: DuckDBStore) -> None:
    refuse(store, [0])
    for target in (f"/dead-letter?id={SIGNUPS}/0/0", "/dead-letters?sender=%2Fbilling"):
        text = shown(store, target).text
        assert text.index("redrive --") < text.index("redrive --", text.index("redrive --") + 1)
        assert text.index("Redrive, dry run") < text.index("Redrive: send") < text.index("Discard, dry run")


def test_settled_letter_has_no_commands(store: DuckDBStore) -> None:
    refuse(store, [0])
    store.discard([f"{SIGNUPS}/0/0@{NOON_MS}"], "test record")
    page = shown(store, f"/dead-letter?id={SIGNUPS}/0/0")
    assert "discarded" in page.text
    assert "--execute" not in page.text


def test_unprintable_sender_is_in_no_command(store: DuckDBStore) -> None:
    refuse(store, [0], ("ce_source", b"/x\n; rm -rf ~\n"))
    [link] = [link for link in shown(store, "/dead-letters").links if link.startswith("dead-letters?")]
    page = shown(store, f"/{link}")
    assert "The sender is not printable" in page.text
    assert "customer-worker dead-letters" not in page.text


def test_total_equals_that_of_the_command(store: DuckDBStore) -> None:
    apply(store, [signup(0)])
    refuse(store, [5, 6])
    conflict = signup_value(ADA, mrr='{"amount": "599.00", "currency": "USD"}')
    apply(store, [record(conflict, offset=20), record(conflict, offset=21)])
    page = shown(store, "/dead-letters")
    assert "4 letters to decide, $13,176.00 ARR at stake" in page.text
    assert "$13,176.00 ARR at stake" in shown(store).text
