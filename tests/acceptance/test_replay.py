"""`replay` after a bad deploy, after a kill, in silence, and when it is refused."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import aiokafka
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from tests.support.operating import answer, ends, run, said, store_bytes
from tests.support.reader import read_committed
from tests.support.records import Message
from tests.support.spelling import cancellation, quoted, signup
from tests.support.stage import Stage
from tests.support.worker_process import KILLED, WorkerProcess, environment, module_command
from worker.errors import Exit, Refusal
from worker.kafka.log_reader import LogReading, committed_reader
from worker.replay.interruption import SIGNALS
from worker.settings import Kafka as KafkaSettings

pytestmark = pytest.mark.timeout(240)
BAD_DEPLOY = [sys.executable, "-m", "tests.acceptance.old_plan_tiers", "run"]
REFUSED = 500
LEFT = 100
ARR = "120000.00"  # of LEFT customers at 100 dollars a month
SMALL_BATCHES = {"BATCH__MAX_RECORDS": "50"}
NOWHERE = "127.0.0.1:1"
ABOUT_THE_RUN = {"executed", "seconds", "waiting_after"}


def people(count: int) -> list[str]:
    return [str(uuid.UUID(int=number, version=4)) for number in range(count)]


def custom(who: Iterable[str]) -> list[Message]:
    """Signups that the bad deploy refuses."""
    return [Message("signup", w.encode(), signup(w, plan_tier='"custom"', mrr=quoted("100.00"))) for w in who]


def left(who: Iterable[str]) -> list[Message]:
    return [Message("cancellation", w.encode(), cancellation(w)) for w in who]


def refused_by_a_bad_deploy(stage: Stage, messages: list[Message]) -> None:
    stage.create_topics()
    stage.produce(messages)
    worker = stage.start(BAD_DEPLOY)
    stage.wait_until_consumed(worker)
    assert worker.stop() == 0, worker.tail()
    letters = sum(message.kind == "signup" for message in messages)
    while len(read_committed(stage.kafka.bootstrap_servers, stage.topics.dead_letters[0])) < letters:
        pass  # a transaction that is committed has its end on each partition a moment later


def bad_night(stage: Stage, *more: Message) -> list[str]:
    """500 signups are refused, and 100 cancellations of those customers wait in vain; who they are."""
    who = people(REFUSED)
    refused_by_a_bad_deploy(stage, [*custom(who), *left(who[:LEFT]), *more])
    return who


def started(stage: Stage, **settings: str) -> WorkerProcess:
    """Start a worker and wait until it has recovered and may publish."""
    worker = stage.start(**settings)
    worker.wait_until(lambda: bool(worker.events("recovered")), "recovered")
    return worker


def run_idle(stage: Stage) -> None:
    """Start a worker, and stop it without any input."""
    worker = started(stage)
    assert worker.stop() == 0, worker.tail()


def numbers(report: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a report that a dry run promises."""
    return {name: value for name, value in report.items() if name not in ABOUT_THE_RUN}


def events(stage: Stage) -> Counter[str]:
    """Count the events on the topic, by customer."""
    return Counter(
        (event.key or b"").decode() for event in read_committed(stage.kafka.bootstrap_servers, stage.topics.churned)
    )


def last_outcomes(stage: Stage, topic: str) -> Counter[str]:
    decisions = stage.store().decisions()
    return Counter(rows[-1].outcome for (of, _, _), rows in decisions.items() if of == topic)


def test_replay_after_a_bad_deploy_matches_its_dry_run(stage: Stage) -> None:
    first, *_ = people(1)
    other_date = cancellation(first, cancellation_date='"2031-01-31"')
    who = bad_night(stage, Message("cancellation", first.encode(), other_date))
    before = store_bytes(stage), ends(stage), stage.committed(), sorted(stage.directory.iterdir())
    promised = answer(stage, "replay")
    assert (store_bytes(stage), ends(stage), stage.committed(), sorted(stage.directory.iterdir())) == before
    assert promised["outcomes"] == {"applied": REFUSED, "duplicate": LEFT, "rejected": 1}
    assert promised["unparked"] == {"applied": LEFT, "rejected": 1}
    assert promised["unparked_rejected"] == {"already_churned": 1}
    assert (promised["customers_changed"], promised["events"], promised["dead_letters"]) == (REFUSED, LEFT, 1)
    assert (promised["lost_arr_before"], promised["lost_arr_after"]) == ("0.00", ARR)
    changed = {change["customer_id"]: change for change in promised["changes"]}
    assert changed[who[0]]["before"] is None
    assert changed[who[0]]["after"]["churn_date"] is not None
    assert changed[who[LEFT]]["after"] == {"plan_tier": "custom", "mrr": "100.00", "churn_date": None}
    assert events(stage) == {}

    done = answer(stage, "replay", "--execute")
    assert numbers(done) == numbers(promised)
    assert done["waiting_after"] == 0
    assert events(stage) == dict.fromkeys(who[:LEFT], 1)
    assert last_outcomes(stage, stage.topics.signup) == {"applied": REFUSED}
    assert last_outcomes(stage, stage.topics.cancellation) == {"applied": LEFT, "rejected": 1}
    letters = read_committed(stage.kafka.bootstrap_servers, stage.topics.dead_letters[1])
    assert [letter.value for letter in letters] == [other_date]
    assert stage.committed() == before[2]

    after = stage.store(), ends(stage)
    again = answer(stage, "replay", "--execute")
    assert again["outcomes"] == {"duplicate": REFUSED + LEFT, "rejected": 1}
    assert (again["customers_changed"], again["events"], again["dead_letters"]) == (0, 0, 0)
    assert "Nothing to do" in said(stage, "replay")
    assert (stage.store(), ends(stage)) == after

    run_idle(stage)  # the worker goes on where it was
    assert events(stage) == dict.fromkeys(who[:LEFT], 1)


@pytest.mark.parametrize("failpoint", ["before-commit:3", "after-commit:3", "in-transaction", "after-publish"])
def test_replay_repeated_after_a_kill_publishes_once(stage: Stage, failpoint: str) -> None:
    who = bad_night(stage)
    code, _, err = run(stage, "replay", "--execute", FAILPOINT=failpoint, **SMALL_BATCHES)
    assert code == KILLED, err
    promised = answer(stage, "replay", "--topic", "signup")
    done = answer(stage, "replay", "--topic", "signup", "--execute")  # the last record read still brings events
    assert numbers(done) == numbers(promised)
    assert done["waiting_after"] == 0
    assert done["lost_arr_after"] == ARR
    assert events(stage) == dict.fromkeys(who[:LEFT], 1)
    outcomes = Counter(row.outcome for row in stage.store().journal)
    assert outcomes == {"rejected": REFUSED, "parked": LEFT, "applied": REFUSED + LEFT}


def test_killed_silent_replay_never_publishes(stage: Stage) -> None:
    bad_night(stage)
    before = ends(stage)
    silent = ("replay", "--emit", "none", "--execute")
    assert run(stage, *silent, FAILPOINT="after-commit:3", **SMALL_BATCHES)[0] == KILLED
    promised = answer(stage, "replay", "--emit", "none")
    done = answer(stage, *silent)
    assert numbers(done) == numbers(promised)
    assert 0 < done["events"] < LEFT
    assert (done["waiting_after"], done["lost_arr_after"]) == (0, ARR)
    run_idle(stage)
    assert ends(stage) == before
    assert len([customer for customer in stage.store().customers.values() if customer.churn_date]) == LEFT


def test_replay_publishes_the_backlog_unless_silent(stage: Stage) -> None:
    who = people(10)
    stage.create_topics()
    stage.produce(custom(who) + left(who))
    worker = stage.start(FAILPOINT="before-publish")
    assert worker.wait() == KILLED
    silent = answer(stage, "replay", "--emit", "none", "--execute")
    assert (silent["waiting_before"], silent["waiting_after"]) == (10, 10)
    assert events(stage) == {}
    done = answer(stage, "replay", "--execute")
    assert (done["waiting_before"], done["waiting_after"], done["events"]) == (10, 0, 0)
    assert events(stage) == dict.fromkeys(who, 1)


def test_partial_replay_leaves_unread_records_to_the_worker(stage: Stage) -> None:
    who = bad_night(stage)
    stage.produce(custom(people(REFUSED + 7)[REFUSED:]))
    everything = answer(stage, "replay")
    assert (everything["read"], everything["left"]) == (REFUSED + LEFT, 7)
    assert "after the worker's position, not replayed: 7 offsets" in said(stage, "replay", "--topic", "signup")

    one = answer(stage, "replay", "--customer", who[0].upper())
    assert (one["read"], one["taken"], one["customers_changed"]) == (REFUSED + LEFT, 2, 1)
    assert one["outcomes"] == {"applied": 1, "duplicate": 1}

    partition = answer(stage, "replay", "--topic", "signup", "--partition", "3")
    (of_three,) = partition["ranges"]
    assert partition["read"] == of_three["end"] > 20
    some = answer(
        stage, "replay", "--topic", stage.topics.signup, "--partition", "3", "--from-offset", "5", "--to-offset", "15"
    )
    assert (some["read"], some["outcomes"]) == (10, {"applied": 10})

    now = datetime.now(UTC)
    later, earlier = (now + timedelta(hours=1)).isoformat(), (now - timedelta(hours=1)).replace(tzinfo=None).isoformat()
    assert answer(stage, "replay", "--from-time", later)["read"] == 0
    assert answer(stage, "replay", "--from-time", earlier)["read"] == REFUSED + LEFT
    assert answer(stage, "replay", "--to-time", earlier)["read"] == 0
    assert "No record to replay" in said(stage, "replay", "--to-time", earlier)


@pytest.mark.parametrize("number", SIGNALS)
def test_interrupted_replay_reports_and_can_be_continued(heard: None, stage: Stage, number: signal.Signals) -> None:
    who = people(5_000)
    refused_by_a_bad_deploy(stage, custom(who) + left(who))
    replaying = subprocess.Popen(
        module_command("replay", "--execute", "--json"),
        env=environment(stage.settings | {"BATCH__MAX_RECORDS": "1"}),
        cwd=stage.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while not events(stage):
        assert replaying.poll() is None, replaying.communicate()
    for _ in range(3):  # nobody sends just one
        replaying.send_signal(number)
    out, err = replaying.communicate(timeout=60)
    assert replaying.returncode == 130, err
    report = json.loads(out)
    assert report["interrupted"]
    journal = Counter(row.outcome for row in stage.store().journal)
    assert 0 < report["outcomes"]["applied"] == len(stage.store().customers) < len(who)
    assert journal["applied"] == report["outcomes"]["applied"] + report["unparked"]["applied"]
    assert answer(stage, "replay", "--execute")["waiting_after"] == 0
    assert events(stage) == dict.fromkeys(who, 1)


def test_ctrl_c_while_the_store_is_copied_leaves_nothing_behind(heard: None, stage: Stage) -> None:
    bad_night(stage)
    before = sorted(stage.directory.iterdir())
    copying = subprocess.Popen(
        [sys.executable, "-m", "tests.acceptance.slow_copy", "replay", "--json"],
        env=environment(stage.settings),
        cwd=stage.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while not list(stage.directory.glob("*.copy/customers.duckdb")):
        assert copying.poll() is None, copying.communicate()
    copying.send_signal(signal.SIGTERM)
    out, err = copying.communicate(timeout=60)
    assert copying.returncode == 130, err
    report = json.loads(out)
    assert (report["interrupted"], report["seconds"]) == (True, 0.0), "the copying was not cut short"
    assert sorted(stage.directory.iterdir()) == before


def test_replay_beside_a_running_worker_is_refused_with_advice(stage: Stage) -> None:
    stage.create_topics()
    worker = started(stage)
    for options in ((), ("--execute",)):
        told = said(stage, "replay", *options, code=69)
        assert "Stop the worker" in told
        assert "running worker" in told
    worker.require_running()


def test_a_worker_of_the_group_on_another_store_keeps_its_relay(stage: Stage) -> None:
    bad_night(stage)
    other = started(stage, STORE__URL="duckdb:///other.duckdb")
    told = said(stage, "replay", "--execute", code=69)
    assert "another store" in told
    assert last_outcomes(stage, stage.topics.signup) == {"rejected": REFUSED}
    assert other.stop() == 0, other.tail()


def test_deleted_records_are_counted_recreated_topic_refused(stage: Stage) -> None:
    bad_night(stage)
    topic = stage.topics.signup
    _delete_records(stage, topic, before=10)
    report = answer(stage, "replay", "--topic", "signup", "--partition", "3")
    assert (report["gone"], report["ranges"][0]["start"]) == (10, 10)
    told = said(stage, "replay", "--partition", "3")
    assert "no longer in the logs: 10 offsets" in told
    _recreate(stage, topic)
    assert "recreated" in said(stage, "replay", "--execute", code=70)


def test_records_deleted_during_the_replay_are_named(stage: Stage) -> None:
    bad_night(stage)
    topic = stage.topics.signup
    _delete_records(stage, topic, before=10)

    async def read() -> None:
        async with committed_reader(KafkaSettings(bootstrap_servers=stage.kafka.bootstrap_servers)) as reader:
            place = aiokafka.TopicPartition(topic, 3)
            async for _ in LogReading(reader, {place: 5}, {place: 20}).parts():
                pass

    with pytest.raises(Refusal, match=f"{topic}/3/5 no longer exists: the log was truncated") as refused:
        asyncio.run(read())
    assert refused.value.code is Exit.UNREACHABLE


def test_usage_error_ends_with_2(stage: Stage) -> None:
    stage.create_topics()
    run_idle(stage)
    for options, says in {
        ("--topic", "customer.nothing"): "--topic is",
        ("--partition", "8"): "have no partition 8",
        ("--from-offset", "1", "--from-time", "2026-07-01"): "not both",
        ("--to-offset", "1", "--to-time", "2026-07-01"): "not both",
        ("--from-offset", "5", "--to-offset", "5"): "is not before",
        ("--from-time", "2026-07-01T02:00Z", "--to-time", "2026-07-01T02:00+02:00"): "is not before",
        ("--from-time", "yesterday"): "a time is written as",
        ("--customer", "Ada"): "UUID",
    }.items():
        assert says in " ".join(said(stage, "replay", *options, code=2).replace("│", " ").split())


@pytest.mark.parametrize("options", [(), ("--execute",)], ids=["dry run", "execute"])
def test_missing_store_or_broker_ends_with_69(stage: Stage, options: tuple[str, ...]) -> None:
    assert "No worker has run here yet" in said(stage, "replay", *options, code=69)
    assert not stage.store_file.exists()
    stage.create_topics()
    run_idle(stage)
    empty = answer(stage, "replay", *options)
    assert (empty["read"], empty["customers_changed"]) == (0, 0)
    assert "cannot be reached" in said(stage, "replay", *options, code=69, KAFKA__BOOTSTRAP_SERVERS=NOWHERE)
    assert not list(stage.directory.glob("*.copy"))


def _delete_records(stage: Stage, topic: str, before: int) -> None:
    admin = AdminClient({"bootstrap.servers": stage.kafka.bootstrap_servers, "log_level": 0})
    [deleted] = admin.delete_records([TopicPartition(topic, 3, before)]).values()
    deleted.result(30)


def _recreate(stage: Stage, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": stage.kafka.bootstrap_servers, "log_level": 0})
    [deleted] = admin.delete_topics([topic]).values()
    deleted.result(30)
    while topic in admin.list_topics(timeout=30).topics:
        pass
    stage.create_topics()
