"""A cancellation that nobody signs up for is given up by ops, and everything that can follow from it."""

from __future__ import annotations

import uuid

import pytest

from tests.support.operating import answer, ends, said, serve, store_bytes
from tests.support.reader import read_committed
from tests.support.records import Message
from tests.support.spelling import cancellation, signup
from tests.support.stage import Stage
from tests.support.worker_process import WorkerProcess

pytestmark = pytest.mark.timeout(240)
GIVE_UP = ("parked", "dead-letter", "--older-than", "0s")
WHO = [str(uuid.UUID(int=number, version=4)) for number in range(3)]


def left(who: str) -> Message:
    return Message("cancellation", who.encode(), cancellation(who))


def joined(who: str) -> Message:
    return Message("signup", who.encode(), signup(who))


def consumed(stage: Stage) -> WorkerProcess:
    worker = stage.start()
    worker.wait_until(lambda: bool(worker.events("recovered")), "the receipt read")
    stage.wait_until_consumed(worker)
    return worker


def given_up(stage: Stage) -> None:
    """Three cancellations wait, and are given up; the worker has published their dead letters, and runs."""
    serve(stage)
    stage.create_topics()
    stage.produce([left(who) for who in WHO])
    assert consumed(stage).stop() == 0
    assert answer(stage, *GIVE_UP, "--execute")["count"] == 3
    worker = consumed(stage)
    worker.wait_until(lambda: len(dead_letters(stage)) == 3, "the dead letters published")


def dead_letters(stage: Stage) -> list[bytes | None]:
    return [record.key for record in read_committed(stage.kafka.bootstrap_servers, stage.topics.dead_letters[1])]


def events(stage: Stage) -> list[bytes | None]:
    return [record.key for record in read_committed(stage.kafka.bootstrap_servers, stage.topics.churned)]


def test_dry_run_changes_nothing_and_execute_needs_no_worker(stage: Stage) -> None:
    serve(stage)
    stage.create_topics()
    stage.produce([left(who) for who in WHO])
    worker = consumed(stage)
    dry = answer(stage, *GIVE_UP)
    assert (dry["executed"], dry["count"]) == (False, 3)
    assert {each["customer_id"] for each in dry["parked"]} == set(WHO)
    assert "Stop the worker" in said(stage, *GIVE_UP, "--execute", code=69)
    assert worker.stop() == 0
    before = (ends(stage), store_bytes(stage))
    assert "Dry run: 3 dead letters would be made" in said(stage, *GIVE_UP)
    assert "No cancellation has been parked for longer." in said(stage, "parked", "dead-letter", "--older-than", "1d")
    assert (ends(stage), store_bytes(stage)) == before
    assert answer(stage, "parked", "dead-letter", "--older-than", "1d", "--execute")["count"] == 0
    assert len(stage.store().parked) == 3


def test_what_is_given_up_is_a_dead_letter_and_waits_no_longer(stage: Stage) -> None:
    given_up(stage)
    listed = answer(stage, "dead-letters", "list")
    assert [(each["reason"], each["letters"], each["unknown"]) for each in listed["groups"]] == [("no_signup", 3, 3)]
    assert stage.workers[-1].stop() == 0
    assert stage.store().parked == []
    assert answer(stage, *GIVE_UP, "--execute")["count"] == 0
    consumed(stage)
    assert len(dead_letters(stage)) == 3


def test_later_signup_stays_active_until_the_redrive(stage: Stage) -> None:
    given_up(stage)
    stage.produce([joined(who) for who in WHO])
    worker = stage.workers[-1]
    stage.wait_until_consumed(worker)
    assert events(stage) == []
    done = answer(stage, "dead-letters", "redrive", "--customer", WHO[0], "--execute")
    assert [(group["state"], group["arr_at_stake"]) for group in done["decided"]] == [("applied", "5988.00")]
    worker.wait_until(lambda: events(stage) == [WHO[0].encode()], "one event")
    assert answer(stage, "reconcile")["total"]["topic"] == {"count": 1, "lost_arr": "5988.00"}
    assert worker.stop() == 0
    churned = {who for who, customer in stage.store().customers.items() if customer.churn_date}
    assert churned == {WHO[0]}


def test_reread_record_is_not_parked_and_repeats_no_letter(stage: Stage) -> None:
    given_up(stage)
    stage.produce([joined(WHO[0])])
    stage.wait_until_consumed(stage.workers[-1])
    assert stage.workers[-1].stop() == 0
    stage.move_group("start")
    worker = stage.start()
    worker.wait_until(lambda: sum(int(str(b["replayed"])) for b in worker.events("batch applied")) == 4, "read again")
    assert worker.stop() == 0
    assert events(stage) == []
    assert stage.store().parked == []
    assert len(dead_letters(stage)) == 3
    assert stage.store().customers[WHO[0]].churn_date is None
