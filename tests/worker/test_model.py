"""The result does not depend on how records are interleaved, batched, repeated and read again.

Hypothesis simulates Kafka, the operator and crashes: it reads the partitions in any order and in parts of any size,
publishes with or without marking, rewinds, skips, restores an older copy of the store, or loses it.
"""

import json
from collections import Counter
from datetime import date
from decimal import Decimal
from itertools import takewhile

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.support.builders import (
    ADA,
    BOB,
    CANCELLATIONS,
    EVE,
    SIGNUPS,
    apply,
    cancellation_value,
    record,
    signup_value,
)
from tests.support.emptied_store import SharedDatabase
from tests.worker.model import Bad, Cancellation, Expected, Place, Said, Signup, expected
from worker.messages.churned_event import churned_id
from worker.messages.outgoing import Outgoing
from worker.messages.record import PlainRecord, TopicPartition

PARTITIONS = 2
MAX_LOSSES = 2
# Two customers share a partition of each topic, the third has another: a customer stays where they are.
HOME = {ADA: 0, BOB: 0, EVE: 1}
DAYS = [date(2026, 1, 14), date(2026, 1, 15), date(2026, 4, 15), date(2026, 4, 16), date(2026, 6, 30)]
SPELLINGS = 3

signups = st.builds(
    Signup,
    who=st.sampled_from(list(HOME)),
    tier=st.sampled_from(["growth", "growth", "growth", "free"]),
    day=st.sampled_from([date(2026, 1, 15), date(2026, 1, 15), date(2026, 4, 16)]),
    amount=st.sampled_from([Decimal("83.333333"), Decimal("83.333333"), Decimal("499.00")]),
    spelling=st.integers(0, SPELLINGS - 1),
)
cancellations = st.builds(
    Cancellation,
    who=st.sampled_from(list(HOME)),
    day=st.sampled_from(DAYS),
    reason=st.sampled_from([None, "too_expensive"]),
)
bad = st.sampled_from([Bad(None, "empty"), Bad(b"\xff", "malformed"), Bad(b"{}", "invalid")])


def value_of(said: Said) -> bytes | None:
    """Return the record's bytes."""
    if isinstance(said, Bad):
        return said.value
    if isinstance(said, Cancellation):
        return cancellation_value(said.who, str(said.day), reason=said.reason and f'"{said.reason}"')
    tokens = [
        {"mrr": f'{{"amount": "{said.amount}", "currency": "USD"}}', "signup_date": f'"{said.day}"'},
        {"mrr": str(said.amount), "industry": '"FINTECH"', "customer_id": f'"{said.who.upper()}"'},
        {"mrr": f'"{said.amount}0000"', "plan_tier": f'"{said.tier.upper()}"'},
    ][said.spelling]
    usual: dict[str, str | None] = {"plan_tier": f'"{said.tier}"', "signup_date": f'"{said.day}T23:59:59Z"'}
    return signup_value(said.who, **(usual | tokens))


class Worker(RuleBasedStateMachine):
    """The worker's handlers, and the world around them."""

    database: SharedDatabase

    def __init__(self) -> None:
        super().__init__()
        self.logs: dict[TopicPartition, list[Said]] = {}
        self.store = self.database.store()
        self.read: dict[TopicPartition, int] = {}
        self.taken: list[list[PlainRecord]] = []
        self.losses = 0
        self.skipped = False
        self.topic: list[Outgoing] = []  # what readers of committed records see

    def teardown(self) -> None:
        try:
            if self.logs:
                self._read_to_the_end()
                self._publish()
                self._compare(expected(self.logs))
        finally:
            self.store.close()

    # The records

    @initialize(said=st.lists(st.one_of(signups, signups, cancellations, cancellations, bad), min_size=4, max_size=24))
    def records_are_produced(self, said: list[Said]) -> None:
        self.logs = {(topic, n): [] for topic in (SIGNUPS, CANCELLATIONS) for n in range(PARTITIONS)}
        for number, each in enumerate(said):
            if isinstance(each, Bad):
                self.logs[SIGNUPS if number % 2 else CANCELLATIONS, number % PARTITIONS].append(each)
            else:
                self.logs[SIGNUPS if isinstance(each, Signup) else CANCELLATIONS, HOME[each.who]].append(each)
        self.read = dict.fromkeys(self.logs, 0)

    # What can happen

    @rule(portions=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6)), min_size=1, max_size=5))
    def a_batch_is_taken(self, portions: list[tuple[int, int]]) -> None:
        places = list(self.logs)
        self._take([each for which, count in portions for each in self._poll(places[which], count)])

    @rule(which=st.integers(0, 3), back=st.integers(1, 24))
    def an_operator_rewinds(self, which: int, back: int) -> None:
        place = list(self.logs)[which]
        self.read[place] = max(0, self.read[place] - back)

    @precondition(lambda self: self._bad_records())
    @rule(which=st.integers(0, 3))
    def an_operator_skips_bad_records(self, which: int) -> None:
        """Anything else that is skipped may contradict what was read meanwhile: the end would be another."""
        bad = self._bad_records()
        place = list(bad)[which % len(bad)]
        self.skipped = True
        self.read[place] += bad[place]

    @precondition(lambda self: self.taken)
    @rule(back=st.integers(1, 4))
    def a_batch_comes_again(self, back: int) -> None:
        self._take(self.taken[-min(back, len(self.taken))])

    @rule(marked=st.booleans())
    def the_outbox_is_published(self, marked: bool) -> None:
        self._publish(marked)

    @precondition(lambda self: self.losses < MAX_LOSSES)
    @rule(kept=st.integers(0, 4))
    def the_store_is_lost_or_an_older_copy_is_put_back(self, kept: int) -> None:
        self.losses += 1
        self.store.close()
        self.store = self.database.store()
        batches, self.taken = self.taken[:kept], []
        for batch in batches:
            self._take(batch)
        self._recover()

    # How it is done

    def _bad_records(self) -> dict[TopicPartition, int]:
        """Return the number of bad records that come next."""
        counts = {
            place: sum(1 for _ in takewhile(lambda each: isinstance(each, Bad), log[self.read[place] :]))
            for place, log in self.logs.items()
        }
        return {place: count for place, count in counts.items() if count}

    def _poll(self, place: TopicPartition, count: int) -> list[PlainRecord]:
        topic, partition = place
        begin = self.read[place]
        self.read[place] = min(begin + count, len(self.logs[place]))
        return [
            record(value_of(self.logs[place][offset]), topic, offset, partition=partition)
            for offset in range(begin, self.read[place])
        ]

    def _take(self, batch: list[PlainRecord]) -> None:
        if batch:
            apply(self.store, batch)
            self.taken.append(batch)

    def _publish(self, marked: bool = True) -> None:
        pending = self.store.pending(self.store.published_seq, 1000)
        self.topic += pending.messages
        if marked:
            self.store.mark_published(pending.last_seq, {})
        else:  # it died in between, and the next one reads the receipt
            self._recover()

    def _recover(self) -> None:
        self.store.keep_receipts([message.id for message in self.topic], {})
        self.read = {place: self.store.positions().get(place, 0) for place in self.logs}

    def _read_to_the_end(self) -> None:
        if self.skipped:
            self.read = dict.fromkeys(self.logs, 0)
        for place, log in self.logs.items():
            self._take(self._poll(place, len(log)))

    # The end

    def _compare(self, end: Expected) -> None:
        self._compare_customers(end)
        self._compare_topics(end)
        self._compare_journal(end)

    def _compare_customers(self, end: Expected) -> None:
        found = {
            customer.customer_id: (
                customer.plan_tier.value,
                customer.signup_date,
                customer.mrr.amount,
                customer.churn_date,
            )
            for customer in self.store.customers(list(HOME))
        }
        assert found == end.customers
        waiting = [each.record for each in self.store.parked(list(HOME))]
        assert Counter((each.topic, each.partition, each.offset) for each in waiting) == Counter(end.parked)

    def _compare_topics(self, end: Expected) -> None:
        events = {churned_id(who) for who in end.churned}
        assert Counter(message.id for message in self.topic) == Counter(events | end.dead_letters)
        for message in self.topic:
            if message.id in events:
                assert json.loads(message.value or b"") == end.churned[message.customer_id or ""]

    def _compare_journal(self, end: Expected) -> None:
        found: dict[Place, list[tuple[str, str | None]]] = {}
        rows = self.store._db.execute('SELECT topic, partition, "offset", outcome, reason FROM journal').fetchall()
        for topic, partition, offset, outcome, reason in rows:
            found.setdefault((topic, partition, offset), []).append((outcome, reason))
        assert found.keys() == end.outcomes.keys()
        for place, outcomes in found.items():
            last = end.outcomes[place]
            # What was parked and then released has two lines; nothing else has more than one.
            assert Counter(outcomes) in (Counter([last]), Counter([("parked", None), last]))
            assert len(outcomes) == 1 or place[0] == CANCELLATIONS
            assert len(set(outcomes)) == len(outcomes)
        store_positions = self.store.positions()
        assert store_positions == {place: len(log) for place, log in self.logs.items() if log}


def test_any_order_of_reading_has_the_same_result(
    shared_database: SharedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Worker, "database", shared_database, raising=False)
    run_state_machine_as_test(Worker)
