"""Changes as a batch makes them, and everything a store can be asked, to compare before and after."""

from collections.abc import Iterable
from datetime import date
from typing import Any

import msgspec

from domain.customer import Customer
from tests.support.builders import ADA, BOB, CANCELLATIONS, EVE, SIGNUPS, customer, record
from tests.support.databases import Database
from worker.messages.encoded_headers import encode
from worker.messages.outgoing import Outgoing
from worker.messages.record import PlainRecord
from worker.stores.changes import Changes, JournalRow, ParkedRecord, RecordCoordinates, Redrive
from worker.stores.port import Store

EVENT = "11111111-1111-5111-8111-111111111111"


def outgoing(message_id: str = "1", topic: str = "customer.churned") -> Outgoing:
    """Return a record to be published."""
    return Outgoing(message_id, topic, None, b"key", b"value", [("ce_id", message_id.encode())], None)


def churned_event(message_id: str) -> Outgoing:
    """Return an event as the composer does, with encoded headers."""
    headers = encode([("ce_time", b"2026-06-30T12:00:00Z")])
    return Outgoing(message_id, "customer.churned", None, None, b"{}", (), ADA, 1_782_820_800_000, headers)


def event_of_bob() -> Outgoing:
    """Return the event that the cancellation at offset 2 leads to."""
    return msgspec.structs.replace(churned_event(EVENT), customer_id=BOB, cause=(CANCELLATIONS, 0, 2))


def waiting(offset: int, customer_id: str = EVE) -> PlainRecord:
    """Return a cancellation that came too early, with everything that a record can hold."""
    headers = [("x", b"1"), ("x", None), ("", b"\xff\x00"), ("bad\udcff", b"")]
    return record(b"\x00\xff%d" % offset, CANCELLATIONS, offset, key=customer_id.encode(), headers=headers)


def parked(*records: PlainRecord, customer_id: str = EVE) -> dict[RecordCoordinates, ParkedRecord]:
    """Return the records as `Changes.parked` holds them."""
    return {RecordCoordinates(r.topic, r.partition, r.offset): ParkedRecord(customer_id, r) for r in records}


def a_bit_of_everything() -> Changes:
    """Every kind of change at once, for a store that holds Bob and parked cancellations at offsets 0 and 7."""
    return Changes(
        new_customers={ADA: customer(ADA)},
        signups={ADA: (SIGNUPS, 0, 1)},
        changed_customers={BOB: customer(BOB, churn_date=date(2026, 6, 30))},
        parked=parked(waiting(1)),
        released=[RecordCoordinates(CANCELLATIONS, 0, 0)],
        abandoned=[RecordCoordinates(CANCELLATIONS, 0, 7)],
        journal=[
            JournalRow(CANCELLATIONS, 0, 7, EVE, "rejected", "no_signup"),
        ],
        outbox=[outgoing("new 1"), outgoing("receipted"), event_of_bob()],
        redrives=[Redrive("letter", SIGNUPS, 0, 1, "0" * 64)],
        positions={(SIGNUPS, 0): 2, (CANCELLATIONS, 0): 3},
    )


def prepare(store: Store) -> None:
    """Commit the changes that `a_bit_of_everything` builds on."""
    store.commit(
        Changes(
            new_customers={BOB: customer(BOB)},
            signups={BOB: (SIGNUPS, 0, 0)},
            parked=parked(waiting(0), waiting(7)),
            journal=[
                JournalRow(CANCELLATIONS, 0, 0, EVE, "parked", None),
            ],
            outbox=[outgoing("old")],
            positions={(SIGNUPS, 0): 1, (CANCELLATIONS, 0): 1},
        )
    )
    store.keep_receipts(["receipted"], {("customer.churned", 0): 7})


def everything_in(database: Database, store: Store) -> dict[str, Any]:
    """All that the store says of itself, and the tables that others may read."""
    return {
        "customers": details(store.customers([ADA, BOB, EVE])),
        "active": details(store.active_customers()),
        "parked": list(store.parked([ADA, BOB, EVE])),
        "positions": dict(store.positions()),
        "published": store.published_seq,
        "pending": store.pending(store.published_seq, 1000),
        "ends": dict(store.output_ends()),
        "journal": journal(database, store),
        "abandoned": set(store.abandoned),
        "redrives": database.rows(
            store, 'SELECT dead_letter_id, topic, partition, "offset", value_sha256 FROM redrives'
        ),
        "discards": database.rows(store, "SELECT dead_letter_id, why FROM discards"),
    }


def journal(database: Database, store: Store) -> list[tuple[Any, ...]]:
    """Every decision written down, by where its record stood."""
    return database.rows(
        store,
        'SELECT topic, partition, "offset", CAST(customer_id AS VARCHAR), outcome, reason, CAST(event_id AS VARCHAR)'
        ' FROM journal ORDER BY topic, partition, "offset", outcome DESC',
    )


def particulars(customer: Customer) -> tuple[Any, ...]:
    """All that is known of a customer, to compare: two customers are equal by their id alone."""
    return (
        customer.customer_id,
        customer.industry,
        customer.plan_tier,
        customer.signup_date,
        customer.mrr.amount,
        customer.churn_date,
    )


def details(customers: Iterable[Customer]) -> list[tuple[Any, ...]]:
    """Return the particulars of each customer, in an order that does not depend on the store."""
    return sorted(map(particulars, customers), key=str)


def ids(messages: Iterable[Outgoing]) -> list[str]:
    """Return the ids of the messages, in order."""
    return [message.id for message in messages]
