"""The views of the databases agree with the domain on ARR and on the state of a dead letter."""

import random
import uuid
from collections import defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from hashlib import sha256
from itertools import product

import pytest

from domain.customer import MRR, Customer, Industry, PlanTier
from tests.support.builders import CANCELLATIONS, SIGNUPS, composer, record
from tests.support.databases import Database
from worker.messages.rejection import Reason, Rejected
from worker.stores.changes import Changes, JournalRow, Redrive
from worker.stores.churn_groups import ChurnGroup, GroupBy
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


KEYS: dict[GroupBy, Callable[[Customer], str]] = {
    GroupBy.MONTH: lambda customer: f"{customer.churn_date}"[:7],
    GroupBy.INDUSTRY: lambda customer: customer.industry.value,
    GroupBy.PLAN_TIER: lambda customer: customer.plan_tier.value,
}
PERIODS = [(None, None), (date(2026, 2, 1), date(2026, 3, 31)), (date(2026, 4, 15), None), (None, date.min)]


def churns(count: int) -> list[Customer]:
    """Return customers of every kind, active or with churns around the end of the early stage, others on each run."""
    tenures = [None, 0, 1, 89, 90, 91, 400]
    found = []
    for number, (tenure, amount) in enumerate(zip(random.choices(tenures, k=count), amounts(), strict=False)):
        signup = random.choice([date.min, date(2025, 12, 31), date(2026, 1, 15)]) + timedelta(random.randrange(60))
        churned = None if tenure is None else signup + timedelta(tenure)
        kind = random.choice(list(Industry)), random.choice(list(PlanTier))
        found.append(Customer(str(uuid.UUID(int=number)), *kind, signup, MRR(amount), churned))
    return found


def grouped(customers: list[Customer], by: GroupBy, since: date | None, until: date | None) -> list[ChurnGroup]:
    """Return the groups by the domain's own rules."""
    groups: defaultdict[str, list[Customer]] = defaultdict(list)
    for each in customers:
        if each.churn_date and (since or date.min) <= each.churn_date <= (until or date.max):
            groups[KEYS[by](each)].append(each)
    return [
        ChurnGroup(key, len(of), sum(each.mrr.annual for each in of), sum(each.is_early_stage for each in of))  # type: ignore[arg-type]
        for key, of in sorted(groups.items())
    ]


@pytest.mark.parametrize("by", GroupBy)
def test_churn_groups_equal_the_domains(store: Store, by: GroupBy) -> None:
    customers = churns(300)
    store.commit(Changes(new_customers={each.customer_id: each for each in customers}))
    with store.view() as view:
        for since, until in PERIODS:
            found = sorted(view.churn_groups(by, since, until), key=lambda group: group.key)
            assert found == grouped(customers, by, since, until)


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
