"""The views of the databases agree with the domain on ARR and on the state of a dead letter."""

import random
import uuid
from datetime import date
from decimal import Decimal
from hashlib import sha256
from itertools import product

from domain.customer import MRR, Customer, Industry, PlanTier
from tests.support.builders import CANCELLATIONS, SIGNUPS, composer, record
from tests.support.databases import Database
from worker.messages.rejection import Reason, Rejected
from worker.stores.changes import Changes, JournalRow, Redrive
from worker.stores.dead_letters import WAITING, Filters, State
from worker.stores.port import Store

HALF_CENTS = ("0.00125", "0.00375", "83.33375", "0.000416", "0.000417")  # of a year's revenue, and beside them
EDGES = ("0", "0.000001", "83.333333", "499.00", "999999999999.999999", *HALF_CENTS)
SOURCES = {f"{SIGNUPS}-dlt": SIGNUPS, f"{CANCELLATIONS}-dlt": CANCELLATIONS}


def amounts() -> list[Decimal]:
    """Amounts of every size, other ones on each run."""
    sizes = [random.randrange(10 ** random.randint(1, 18)) for _ in range(500)]
    return [*map(Decimal, EDGES), *(Decimal(size).scaleb(-6) for size in sizes)]


def test_arr_of_every_customer_equals_the_domains(database: Database, store: Store) -> None:
    customers = [
        Customer(
            str(uuid.UUID(int=number)),
            Industry.OTHER,
            PlanTier.CUSTOM,
            date(2026, 1, 15),
            MRR(amount),
            date(2026, 6, 30) if number % 3 else None,
        )
        for number, amount in enumerate(amounts())
    ]
    store.commit(Changes(new_customers={each.customer_id: each for each in customers}))
    found = database.rows(store, "SELECT CAST(customer_id AS VARCHAR), churn_date, arr FROM customer_arr")
    assert sorted(found) == [(each.customer_id, each.churn_date, each.mrr.annual) for each in customers]
    assert store.lost_arr() == sum(each.mrr.annual for each in customers if not each.is_active)


def refused_letters(store: Store) -> None:
    """Dead letters of every history: read again or not, sent again or not, discarded or not."""
    changes, discarded = Changes(), []
    again = ("rejected", "applied", "duplicate", "parked")
    redrives = ("not sent", "not read", "applied", "duplicate", "parked", "rejected")
    for number, (outcome, redrive, is_discarded) in enumerate(product(again, redrives, (False, True))):
        refused = record(b"%d" % number, SIGNUPS, number)
        letter = composer().dead_letter(refused, Rejected(Reason.INVALID, "mrr is missing"))
        changes.outbox.append(letter)
        changes.journal.append(JournalRow(SIGNUPS, 0, number, None, "rejected", "invalid"))
        if outcome != "rejected":
            changes.journal.append(JournalRow(SIGNUPS, 0, number, None, outcome, None))
        if redrive != "not sent":
            digest = sha256(refused.value or b"").hexdigest()
            changes.redrives.append(Redrive(letter.id, SIGNUPS, 0, 1000 + number, digest))
        if redrive not in {"not sent", "not read"}:
            reason = "invalid" if redrive == "rejected" else None
            changes.journal.append(JournalRow(SIGNUPS, 0, 1000 + number, None, redrive, reason))
        if is_discarded:
            discarded.append(letter.id)
    store.commit(changes)
    store.discard(discarded, "a test")


def test_state_of_every_dead_letter_equals_the_domains(database: Database, store: Store) -> None:
    refused_letters(store)
    found: dict[str, str] = dict(database.rows(store, "SELECT id, state FROM dead_letters"))
    with store.view() as view:
        letters = view.dead_letters(SOURCES, Filters())
        waiting = view.waiting_letters(SOURCES)
    assert len(letters) == 48
    assert {letter.state for letter in letters} == set(State)
    assert found == {letter.id: letter.state.value for letter in letters}
    assert [each.seq for each in waiting] == [letter.seq for letter in letters if letter.state in WAITING]


def test_a_redrive_with_another_value_changes_no_state(database: Database, store: Store) -> None:
    letter = composer().dead_letter(record(b"x", SIGNUPS, 0), Rejected(Reason.MALFORMED, "not a JSON object"))
    changes = Changes(outbox=[letter], redrives=[Redrive(letter.id, SIGNUPS, 0, 7, sha256(b"y").hexdigest())])
    changes.journal.append(JournalRow(SIGNUPS, 0, 0, None, "rejected", "malformed"))
    changes.journal.append(JournalRow(SIGNUPS, 0, 7, None, "applied", None))
    store.commit(changes)
    assert database.rows(store, "SELECT state, redriven_to FROM dead_letters") == [("open", None)]
