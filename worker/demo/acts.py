"""The acts of the demo: each sends records, waits for their effects, and prints them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from decimal import Decimal

from worker.demo import cast, story, tables
from worker.demo.broker import Broker
from worker.demo.ledger import fields_of
from worker.demo.narrator import Narrator
from worker.demo.stage import Stage
from worker.demo.store_file import read_store
from worker.demo.tables import dollars
from worker.demo.traffic import Reader, Seen
from worker.demo.verify import Verdict, judge

ONE_BY_ONE = {"BATCH__MAX_RECORDS": "1"}
"""Before the crash each commit has one record, so that the worker is killed after a certain one."""


class Acts:
    """The acts, played once on a stage."""

    def __init__(self, stage: Stage, narrator: Narrator) -> None:
        self._stage = stage
        self._show = narrator

    def play(self) -> None:
        """Play all acts, up to the verification."""
        self._open()
        self._ten_sign_up()
        self._three_cancel()
        self._two_cancel_ahead_of_signup()
        self._nine_are_refused()
        self._crash()
        self._while_down()
        self._restart()

    def _open(self) -> None:
        broker = self._stage.broker
        where = "a Kafka broker inside this process"
        if broker.prefix:
            where = f"Kafka at {broker.client['bootstrap.servers']}"
        self._show.title(f"The real worker, {where}, and a DuckDB file in a temporary directory.")
        if broker.prefix:
            self._show.title(f"Topics and group begin with {broker.prefix}, and are removed at the end.")

    def _ten_sign_up(self) -> None:
        self._show.step("Ten companies sign up. The worker starts, and reads them from Kafka.")
        lines = story.ten_sign_up()
        self._stage.send(lines)
        self._show.table(tables.signups(cast.FIRST_TEN))
        self._stage.start_worker(ONE_BY_ONE | {"FAILPOINT": f"after-commit:{story.records_before_the_crash() + 1}"})
        with self._show.waiting("The worker starts and joins its group"):
            outcomes = self._stage.take_in(len(lines), outputs=0)
        monthly = sum((Decimal(company.mrr) for company in cast.FIRST_TEN), Decimal())
        self._show.effect(f"{outcomes['applied']} customers stored, {dollars(monthly)} of MRR.")

    def _three_cancel(self) -> None:
        self._show.step("Three cancel. One cancellation and one signup are sent twice, the signup in another spelling.")
        lines = story.three_cancel()
        self._stage.send(lines)
        with self._show.waiting("The worker publishes"):
            outcomes = self._stage.take_in(len(lines), outputs=3)
        events = self._stage.events
        self._show.table(tables.events(events))
        self._show.effect(f"{len(events)} events published; the {outcomes['duplicate']} duplicates had no effect.")
        self._show.effect(f"ARR lost so far: {dollars(_lost_arr(events))}.", "red")

    def _two_cancel_ahead_of_signup(self) -> None:
        self._show.step("Two cancellations arrive before the signups of their customers.")
        lines = story.two_cancel_ahead_of_signup()
        self._stage.send(lines)
        outcomes = self._stage.take_in(len(lines), outputs=0)
        self._show.effect(f"{outcomes['parked']} cancellations parked until their signups arrive.", "yellow")

    def _nine_are_refused(self) -> None:
        self._show.step("Nine records are invalid, or contradict the stored customers.")
        lines = story.nine_are_refused()
        self._stage.send(lines)
        with self._show.waiting("The worker rejects them"):
            outcomes = self._stage.take_in(len(lines), outputs=len(lines))
        self._show.table(tables.refusals(lines, self._stage.dead_letters))
        self._show.effect(f"{outcomes['rejected']} rejected, each kept as received on a dead letter topic.", "yellow")

    def _crash(self) -> None:
        stage = self._stage
        events = len(stage.events)
        lost = dollars(cast.KESTREL.arr)
        self._show.step(
            f"Kestrel Bank cancels (ARR {lost}). kill -9 between the store's commit and the publishing of the event."
        )
        stage.send([story.fatal_cancellation()])
        with self._show.waiting("Waiting for the kill"):
            stage.wait_until(stage.worker.was_killed, stage.poll)
        stage.poll(0.5)
        has_left = cast.KESTREL.id in {customer.customer_id for customer in read_store(stage.store).churned}
        if not has_left or len(stage.events) != events:
            raise stage.worker.refusal("the worker was killed at the wrong moment")
        self._show.effect("The worker was killed.", "bold red")
        self._show.effect(f"In its file Kestrel Bank has churned. The topic still has {events} events.", "red")

    def _while_down(self) -> None:
        lines = story.while_down()
        self._stage.send(lines)
        self._show.step("No worker is running, and the lag grows.")
        self._show.effect("Billing sends its four cancellations again.", "")
        self._show.effect("The signup of a parked cancellation arrives. Brickfield cancels.", "")
        self._show.effect(f"{len(lines) - story.NAMED_WHILE_DOWN:,} records of other customers arrive.", "")

    def _restart(self) -> None:
        self._show.step("The worker starts again, with its file and the topics only.")
        stage = self._stage
        before = len(stage.events)
        stage.start_worker({})
        lines = story.while_down()
        outputs = sum(line.leaves for line in lines) + story.HELD_BACK_BY_THE_CRASH + story.PARKED_THEN_APPLIED
        with self._show.progress("Kafka removes the stale member, then the worker catches up", len(lines)) as show:
            stage.take_in(len(lines), outputs, lambda: show(stage.worker.outcomes["records"]))
        events = stage.events[before:]
        named = [event for event in events if (event.key or b"").decode() in cast.NAMES]
        self._show.table(tables.events(named))
        self._show.effect(f"{len(events):,} events published: Kestrel Bank's, which the crash held back;")
        self._show.effect("Juniper Payroll's, parked before the crash and applied when the signup came;")
        self._show.effect(f"and {len(events) - 2:,} of customers who churned meanwhile. Duplicates had no effect.")

    def verify(self, tamper: Callable[[Broker], None]) -> Verdict:
        """Stop the worker, and compare the records sent with the topics and the store file."""
        stage = self._stage
        self._show.step("The worker stops. A separate reader compares the records sent, the topics and the file.")
        with self._show.waiting("The worker stops, the topics are read from their beginning"):
            stage.worker.stop()
            tamper(stage.broker)
            with closing(Reader(stage.broker)) as independent:
                seen = independent.read_to_end()
            kept = read_store(stage.store)
            verdict = judge(stage.sent, seen, kept)
        self._show.table(tables.verdict(verdict))
        for name in [cast.NAMES.get(customer_id, customer_id) for customer_id in kept.parked]:
            self._show.effect(f"Still parked: the cancellation of {name}, which has no signup.", "yellow")
        self._show.effect(f"{len(kept.churned):,} customers churned. ARR lost: {dollars(_lost_arr(seen))}.", "red")
        self._show.verdict(verdict)
        return verdict


def _lost_arr(events: Sequence[Seen]) -> Decimal:
    return sum(
        (Decimal(fields_of(event)["lost_arr"]["amount"]) for event in events if event.output == "churned"), Decimal()
    )
