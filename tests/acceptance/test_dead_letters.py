"""Dead letters: list, show, redrive and discard, after a bad deploy and with forged headers."""

from __future__ import annotations

import signal
import sys
import uuid
from collections import Counter
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from tests.support.kafka.configuring import configure
from tests.support.operating import answer, ends, run, said, serve, store_bytes
from tests.support.reader import read_committed
from tests.support.records import Headers, Message, Record
from tests.support.spelling import cancellation, quoted, signup
from tests.support.stage import Stage
from tests.support.worker_process import WorkerProcess, module_command

pytestmark = pytest.mark.timeout(240)
BAD_DEPLOY = [sys.executable, "-m", "tests.acceptance.old_plan_tiers", "run"]
REDRIVE = ("dead-letters", "redrive")
COUNT = "__dlq.errors.redrive.count"
REFUSED = 500
NOWHERE = "127.0.0.1:1"


def people(count: int, seed: int = 0) -> list[str]:
    return [str(uuid.UUID(int=(seed << 64) + number, version=4)) for number in range(count)]


def custom(who: str, *, mrr: str = "100.00", headers: Headers = ()) -> Message:
    """Return a signup that the bad deploy refuses."""
    value = signup(who, plan_tier='"custom"', mrr=quoted(mrr))
    return Message("signup", who.encode(), value, headers)


def left(who: str) -> Message:
    return Message("cancellation", who.encode(), cancellation(who))


def refused_by_a_bad_deploy(stage: Stage, messages: list[Message]) -> None:
    """Run the bad deploy on these records, and stop it."""
    serve(stage)
    stage.create_topics()
    stage.produce(messages)
    worker = stage.start(BAD_DEPLOY)
    stage.wait_until_consumed(worker)
    assert worker.stop() == 0, worker.tail()


def consumed(stage: Stage) -> WorkerProcess:
    """Start a good worker and wait until it has read everything."""
    worker = stage.start()
    worker.wait_until(lambda: bool(worker.events("recovered")), "the receipt read")
    stage.wait_until_consumed(worker)
    return worker


def letters(stage: Stage, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer(stage, "dead-letters", "list", "--limit", "1000", *options)["letters"]
    return found


def states(stage: Stage) -> Counter[str]:
    every = [
        option
        for state in ("open", "redriven", "applied", "refused_again", "discarded")
        for option in ("--state", state)
    ]
    return Counter(letter["state"] for letter in letters(stage, *every))


def redriven_records(stage: Stage) -> list[Record]:
    """Return the records on the input topics that a redrive has put there."""
    records = read_committed(stage.kafka.bootstrap_servers, *stage.topics.inputs)
    return [record for record in records if record.headers and record.headers[-1][0] == COUNT]


def test_redrive_after_a_bad_deploy_reconciles(stage: Stage) -> None:
    refused, fine = people(REFUSED), people(100, seed=1)
    gone = [left(who) for who in refused[:50] + fine[:10]]
    refused_by_a_bad_deploy(
        stage, [custom(who) for who in refused] + [Message("signup", None, signup(who)) for who in fine] + gone
    )
    worker = consumed(stage)  # the fix

    listed = answer(stage, "dead-letters", "list")
    assert listed["groups"] == [
        {"state": "open", "reason": "unknown_plan_tier", "letters": REFUSED, "arr_at_stake": "600000.00", "unknown": 0}
    ]
    assert (listed["count"], listed["arr_at_stake"], len(listed["letters"])) == (REFUSED, "600000.00", 20)
    assert "$600,000.00" in said(stage, "dead-letters", "list")

    before = ends(stage)
    plan = answer(stage, *REDRIVE, "--reason", "unknown_plan_tier")
    assert (plan["executed"], plan["count"], plan["arr_at_stake"]) == (False, REFUSED, "600000.00")
    assert ends(stage) == before, "a dry run sends nothing"

    done = answer(stage, *REDRIVE, "--reason", "unknown_plan_tier", "--execute")
    assert {name: done[name] for name in ("count", "arr_at_stake", "letters", "left_out")} == {
        name: plan[name] for name in ("count", "arr_at_stake", "letters", "left_out")
    }
    assert (done["sent"], done["too_large"], done["undecided"]) == (REFUSED, [], 0)
    assert done["decided"] == [
        {
            "state": "applied",
            "reason": "unknown_plan_tier",
            "letters": REFUSED,
            "arr_at_stake": "600000.00",
            "unknown": 0,
        }
    ]
    assert states(stage) == {"applied": REFUSED}
    assert answer(stage, "dead-letters", "list")["count"] == 0

    worker.wait_until(lambda: answer(stage, "reconcile")["total"]["pending"]["count"] == 0, "all published")
    books = answer(stage, "reconcile")
    assert books["total"]["customers"] == books["total"]["topic"] == {"count": 60, "lost_arr": _lost(50, 10)}
    assert worker.stop() == 0
    events = [record.key for record in read_committed(stage.kafka.bootstrap_servers, stage.topics.churned)]
    assert Counter(events) == Counter(who.encode() for who in refused[:50] + fine[:10]), "one event a customer"
    assert set(stage.store().customers) == {*refused, *fine}

    before = ends(stage)
    again = answer(stage, *REDRIVE, "--execute")
    assert (again["sent"], again["left_out"]) == (0, {"applied": REFUSED})
    assert ends(stage) == before, "a second redrive has nothing to do"


def _lost(custom_customers: int, others: int) -> str:
    return str(custom_customers * Decimal("1200.00") + others * Decimal("5988.00"))


def test_a_dry_run_beside_no_worker_changes_no_byte(stage: Stage) -> None:
    refused_by_a_bad_deploy(stage, [custom(who) for who in people(3)])
    before = (ends(stage), store_bytes(stage))
    assert answer(stage, *REDRIVE)["count"] == 3
    assert "Dry run: nothing was sent" in said(stage, *REDRIVE)
    assert answer(stage, "dead-letters", "discard")["count"] == 3
    assert (ends(stage), store_bytes(stage)) == before


def test_redriven_record_not_yet_read_is_not_sent_again(stage: Stage) -> None:
    refused_by_a_bad_deploy(stage, [custom(who) for who in people(5)])
    assert answer(stage, *REDRIVE, "--execute")["sent"] == 5
    assert states(stage) == {"redriven": 5}
    again = answer(stage, *REDRIVE, "--execute")
    assert (again["sent"], again["left_out"]) == (0, {"redriven": 5})
    assert len(redriven_records(stage)) == 5
    consumed(stage)
    assert states(stage) == {"applied": 5}


def test_redrive_keeps_partition_and_bytes_and_counts_up(stage: Stage) -> None:
    odd: Headers = (("x", b"\xff\x00"), ("x", None), ("", b""), ("ce_id", b"7"))
    who = people(3)
    messages = [
        custom(who[0], headers=odd),
        Message("signup", None, custom(who[1]).value, (), partition=5),
        Message("signup", b"\x1b[31m", custom(who[2]).value, odd, partition=2),
    ]
    refused_by_a_bad_deploy(stage, messages)
    [*originals] = read_committed(stage.kafka.bootstrap_servers, stage.topics.signup)
    assert answer(stage, *REDRIVE, "--execute")["sent"] == 3
    sent = {record.value: record for record in redriven_records(stage)}
    for original in originals:
        record = sent[original.value]
        assert (record.partition, record.key) == (original.partition, original.key)
        assert record.headers[: len(original.headers)] == original.headers
        told = dict(record.headers[len(original.headers) :])
        assert told["__dlq.errors.offset"] == str(original.offset).encode()
        assert told["__dlq.errors.reason"] == b"unknown_plan_tier"
        assert record.headers[-1] == (COUNT, b"1")


def test_slow_redrive_keeps_the_order_of_a_customer(stage: Stage) -> None:
    who, others = people(1)[0], people(70, seed=2)
    messages = [custom(who, mrr=f"{number}.00") for number in range(1, 21)]
    refused_by_a_bad_deploy(stage, messages + [custom(other) for other in others])
    assert answer(stage, *REDRIVE, "--rate", "30", "--execute")["sent"] == 90
    sent = redriven_records(stage)
    assert [record.value for record in sent if record.key == who.encode()] == [message.value for message in messages]
    stamps = [record.timestamp for record in sent]
    assert max(stamps) - min(stamps) > 1_500, "of 90 records at 30 a second the last ones wait for two seconds"


def test_letter_rejected_too_often_is_left_out(stage: Stage) -> None:
    serve(stage)
    stage.create_topics()
    [who] = people(1)
    stage.produce([Message("signup", who.encode(), signup(who, plan_tier='"platinum"'))])
    worker = consumed(stage)
    for time in range(1, 3):
        done = answer(stage, *REDRIVE, "--max-redrives", "2", "--execute")
        assert (done["sent"], [group["state"] for group in done["decided"]]) == (1, ["refused_again"]), done
        assert states(stage) == {"refused_again": time, "open": 1}
    done = answer(stage, *REDRIVE, "--max-redrives", "2", "--execute")
    assert (done["sent"], done["left_out"]) == (0, {"refused_again": 2, "redriven_too_often": 1})
    assert "Left out: 1 redriven --max-redrives times already" in said(stage, *REDRIVE, "--max-redrives", "2")
    assert worker.stop() == 0
    *_, last = sorted(read_committed(stage.kafka.bootstrap_servers, stage.topics.dead_letters[0]), key=_timestamp)
    names = [name for name, _ in last.headers]
    assert len(names) == len(set(names)) == 9, "one set of headers"
    assert dict(last.headers)[COUNT] == b"2"


def _timestamp(record: Record) -> int:
    return record.timestamp


def test_a_forged_redrive_does_no_harm_and_hides_nothing(stage: Stage) -> None:
    who, other = people(2)
    refused_by_a_bad_deploy(stage, [custom(who)])
    [letter] = read_committed(stage.kafka.bootstrap_servers, stage.topics.dead_letters[0])
    forged = (*letter.headers[:-1], (COUNT, b"\xff"))
    stage.produce([Message("signup", who.encode(), signup(other), forged)])
    assert states(stage) == {"open": 1}, "not read yet, and seen through"
    worker = consumed(stage)
    assert states(stage) == {"open": 1}, "read, and seen through"
    assert answer(stage, *REDRIVE, "--execute")["sent"] == 1
    assert states(stage) == {"applied": 1}
    assert worker.stop() == 0
    assert set(stage.store().customers) == {who, other}


def _slow_redrive(stage: Stage) -> WorkerProcess:
    """Start a redrive of many more records than it sends in a few seconds, and wait until it has begun to send."""
    command, log = module_command(*REDRIVE, "--rate", "5", "--execute"), stage.directory / "slow.log"
    slow = WorkerProcess(command, stage.settings, stage.directory, log)
    stage.workers.append(slow)
    slow.wait_until(lambda: len(redriven_records(stage)) >= 5, "something sent")
    return slow


def test_redrive_repeated_after_a_kill_sends_each_once(stage: Stage) -> None:
    refused_by_a_bad_deploy(stage, [custom(who) for who in people(40)])
    _slow_redrive(stage).kill()
    sent = len(redriven_records(stage))
    again = answer(stage, *REDRIVE, "--execute")
    assert (again["sent"], again["left_out"]) == (40 - sent, {"redriven": sent})
    assert Counter(record.value for record in redriven_records(stage)) == dict.fromkeys(_values(people(40)), 1)
    consumed(stage)
    assert states(stage) == {"applied": 40}


def _values(who: list[str]) -> list[bytes | None]:
    return [custom(each).value for each in who]


def test_a_second_redrive_beside_the_first_sends_nothing(stage: Stage) -> None:
    refused_by_a_bad_deploy(stage, [custom(who) for who in people(40)])
    slow = _slow_redrive(stage)
    assert "another redrive runs" in said(stage, *REDRIVE, "--execute", code=1)
    assert slow.wait() == 0, slow.said()
    assert len(redriven_records(stage)) == 40


def test_interrupted_redrive_stops_between_two_records(stage: Stage) -> None:
    refused_by_a_bad_deploy(stage, [custom(who) for who in people(40)])
    slow = _slow_redrive(stage)
    slow._process.send_signal(signal.SIGINT)
    assert slow.wait() == 0, slow.said()
    assert "Run the command again to continue" in slow.said()
    sent = len(redriven_records(stage))
    assert sent < 40
    assert answer(stage, *REDRIVE, "--execute")["sent"] == 40 - sent


def test_record_too_large_for_its_topic_is_named(stage: Stage) -> None:
    who = people(3)
    large = signup(who[1], plan_tier='"custom"')[:-1] + b', "x": "' + Random(1).randbytes(16_000).hex().encode() + b'"}'
    refused_by_a_bad_deploy(stage, [custom(who[0]), Message("signup", who[1].encode(), large), custom(who[2])])
    _limit(stage, stage.topics.signup, 10_000)
    done = answer(stage, *REDRIVE, "--execute", code=1)
    assert (done["sent"], len(done["too_large"])) == (2, 1)
    assert "exceeds max.message.bytes of its topic" in said(stage, *REDRIVE, "--execute", code=1)
    _limit(stage, stage.topics.signup, 1_000_000)
    assert answer(stage, *REDRIVE, "--execute")["sent"] == 1


def _limit(stage: Stage, topic: str, size: int) -> None:
    configure(stage.kafka.bootstrap_servers, topic, "max.message.bytes", str(size))


def test_discarded_dead_letter_is_not_redriven(stage: Stage) -> None:
    refused_by_a_bad_deploy(stage, [custom(who) for who in people(3)])
    first, *_ = letters(stage)
    worker = consumed(stage)
    discard = ("dead-letters", "discard", first["coordinates"], "--why", "a test of billing's")
    assert "Stop the worker" in said(stage, *discard, "--execute", code=69)
    assert worker.stop() == 0
    assert "--why is missing" in said(stage, "dead-letters", "discard", first["coordinates"], "--execute", code=2)
    assert answer(stage, *discard, "--execute")["letters"] == [first["coordinates"]]
    assert states(stage) == {"open": 2, "discarded": 1}
    assert "a test of billing's" in said(stage, "dead-letters", "show", first["coordinates"])
    assert answer(stage, "replay", "--execute")["outcomes"] == {"applied": 2}
    assert states(stage) == {"applied": 2, "discarded": 1}
    assert answer(stage, *REDRIVE, "--execute")["sent"] == 0


def test_letter_rejected_again_is_discarded_with_its_first(stage: Stage) -> None:
    refused_by_a_bad_deploy(stage, [custom(who) for who in people(1)])
    assert answer(stage, *REDRIVE, "--execute")["sent"] == 1
    still_bad = stage.start(BAD_DEPLOY)
    stage.wait_until_consumed(still_bad)
    assert still_bad.stop() == 0
    assert states(stage) == {"refused_again": 1, "open": 1}
    assert answer(stage, "dead-letters", "discard", "--why", "a test of billing's", "--execute")["count"] == 1
    assert states(stage) == {"refused_again": 1, "discarded": 1}
    assert answer(stage, "replay", "--execute")["outcomes"] == {}
    assert stage.store().customers == {}


def test_record_is_shown_escaped_and_raw_on_request(stage: Stage) -> None:
    [who] = people(1)
    evil = signup(who, plan_tier='"custom"', note=quoted("\x9b31m \u202e gpj.exe"))
    hostile: Headers = (("x\x1b]0;owned\x07", b"\x1b[2J\xff"),)
    refused_by_a_bad_deploy(stage, [Message("signup", b"\x1b[31mkey", evil, hostile)])
    [letter] = letters(stage)
    code, out, err = run(stage, "dead-letters", "show", letter["coordinates"])
    assert code == 0, err
    assert not {each for each in out.decode() if each != "\n" and not each.isprintable()}
    assert r"\x1b[31mkey" in out.decode()
    assert r"\x9b31m \u202e gpj.exe" in out.decode()
    assert '\n  "plan_tier": "custom"' in out.decode()
    assert run(stage, "dead-letters", "show", letter["coordinates"], "--raw")[1] == evil
    shown = answer(stage, "dead-letters", "show", letter["coordinates"])
    assert shown["value"]["text"] == evil.decode()
    assert shown["headers"][0]["value"]["text"] is None
    assert shown["reason"] == "unknown_plan_tier"


def test_failure_is_one_sentence(stage: Stage) -> None:
    serve(stage)
    stage.create_topics()
    assert "no store" in said(stage, "dead-letters", "list", code=69)
    worker = consumed(stage)
    assert "No dead letters." in said(stage, "dead-letters", "list")
    assert "dead letter customer.signup/0/1 not found" in said(
        stage, "dead-letters", "show", "customer.signup/0/1", code=1
    )
    assert answer(stage, *REDRIVE, "--execute")["sent"] == 0
    assert worker.stop() == 0
    assert "No dead letters." in said(stage, "dead-letters", "list", KAFKA__BOOTSTRAP_SERVERS=NOWHERE)
    assert "Kafka cannot be reached" in said(stage, *REDRIVE, "--execute", code=69, KAFKA__BOOTSTRAP_SERVERS=NOWHERE)


def test_letters_are_listed_without_kafka_with_a_note(stage: Stage) -> None:
    refused_by_a_bad_deploy(stage, [custom(who) for who in people(2)])
    listed = answer(stage, "dead-letters", "list", KAFKA__BOOTSTRAP_SERVERS=NOWHERE)
    assert listed["count"] == 2
    assert "Kafka cannot be reached" in listed["note"]


@pytest.mark.parametrize("how", ["rewound", "rebuilt"])
def test_letter_states_survive_a_second_read_of_the_inputs(stage: Stage, how: str) -> None:
    serve(stage)
    stage.create_topics()
    bad = [Message("signup", who.encode(), signup(who, plan_tier='"platinum"')) for who in people(3)]
    stage.produce(bad)
    worker = consumed(stage)
    assert answer(stage, *REDRIVE, "--execute")["sent"] == 3
    assert worker.stop() == 0
    assert states(stage) == {"refused_again": 3, "open": 3}
    before = set(read_committed(stage.kafka.bootstrap_servers, stage.topics.dead_letters[0]))
    if how == "rebuilt":
        for file in stage.directory.glob("customers.duckdb*"):
            file.unlink()
    stage.move_group("start")
    worker = stage.start()
    worker.wait_until(lambda: _taken(worker) >= 6, "everything read again")
    assert states(stage) == {"refused_again": 3, "open": 3}
    assert worker.stop() == 0
    assert set(read_committed(stage.kafka.bootstrap_servers, stage.topics.dead_letters[0])) == before


def _taken(worker: WorkerProcess) -> int:
    return sum(int(str(batch["records"])) for batch in worker.events("batch applied"))
