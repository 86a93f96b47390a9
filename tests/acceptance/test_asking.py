"""`status`, `explain` and `parked list`, beside a running worker and without one."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from tests.support.held_file import held
from tests.support.kafka.cluster import Kafka
from tests.support.operating import answer, run, said, serve, store_bytes
from tests.support.records import Message, Record
from tests.support.spelling import cancellation, quoted, signup
from tests.support.stage import Stage
from tests.support.worker_process import KILLED, WorkerProcess, environment, module_command
from worker.http.command_socket import CommandSocket
from worker.queries.explain import CustomerHistory
from worker.queries.topic_lookup import MAX_RECORDS, TopicLookup, look_up_topics
from worker.socket_paths import socket_beside

pytestmark = pytest.mark.timeout(240)
ADA = "6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a77"
BOB = "0b1f7a52-8f0e-4c39-8a3a-2f2f5d1f9c01"
EVE = "e0e0e0e0-0000-4000-8000-00000000000e"
NOBODY = "00000000-0000-4000-8000-000000000000"
NOWHERE = "127.0.0.1:1"
NO, USAGE, UNREACHABLE = 1, 2, 69


def signed_up(who: str) -> Message:
    return Message("signup", who.encode(), signup(who))


def left(who: str, day: str = "2026-06-30") -> Message:
    return Message("cancellation", who.encode(), cancellation(who, cancellation_date=quoted(day)))


def take(stage: Stage, worker: WorkerProcess, *messages: Message) -> None:
    """Let the worker decide these, after all that came before."""
    decided = worker.records_taken() + len(messages)
    stage.produce(messages)
    worker.wait_until(lambda: worker.records_taken() >= decided, "everything consumed")


def started(stage: Stage, partitions: int = 1) -> WorkerProcess:
    serve(stage)
    stage.create_topics(partitions)
    return stage.start()


def port_of(worker: WorkerProcess) -> str:
    """Wait until the worker serves HTTP, and return its port."""
    worker.wait_until(lambda: bool(worker.events("serving")), "serving")
    return str(worker.events("serving")[0]["url"]).rsplit(":", 1)[1]


def contradicted(stage: Stage, partitions: int = 1) -> WorkerProcess:
    """Start a worker that sees Ada cancel before she signed up, after it, and for another day; Bob left before."""
    worker = started(stage, partitions)
    take(stage, worker, signed_up(BOB))
    take(stage, worker, left(BOB))
    take(stage, worker, left(ADA))
    take(stage, worker, signed_up(ADA))
    take(stage, worker, left(ADA), left(ADA, "2026-07-15"))
    stage.wait_until_published(worker)
    return worker


def event_of(stage: Stage, who: str) -> Record:
    [event] = [r for r in stage.published() if r.topic == stage.topics.churned and r.key == who.encode()]
    return event


def explained(stage: Stage, who: str = ADA, code: int = 0, **settings: str) -> dict[str, Any]:
    return answer(stage, "explain", who, code=code, **settings)


def told_by(story: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return [
        (f"{step['topic'].rsplit('.', 1)[1]}/{step['partition']}/{step['offset']}", step["outcome"], step["reason"])
        for step in story["steps"]
    ]


THE_STORY = [
    ("cancellation/0/1", "parked", None),
    ("signup/0/1", "applied", None),
    ("cancellation/0/1", "applied", None),
    ("cancellation/0/2", "duplicate", None),
    ("cancellation/0/3", "rejected", "already_churned"),
]


def test_explain_shows_every_decision_about_a_customer(stage: Stage) -> None:
    worker = contradicted(stage, partitions=3)
    story = explained(stage)
    event = event_of(stage, ADA)
    assert event.partition == 2, "the last one"
    assert event.offset > 0, "another event comes before it"
    assert told_by(story) == [(place.replace("/0/", "/2/"), *decided) for place, *decided in THE_STORY]
    assert [step["event"] for step in story["steps"] if step["event"]] == [
        {"topic": stage.topics.churned, "partition": event.partition, "offset": event.offset, "note": ""}
    ]
    assert story["steps"][2]["event_id"] == dict(event.headers)["ce_id"].decode()  # type: ignore[union-attr]
    assert [json.loads(step["said"]["value"])["customer_id"] for step in story["steps"]] == [ADA] * 5
    assert json.loads(story["steps"][4]["said"]["value"])["cancellation_date"] == "2026-07-15"
    assert story["steps"][4]["why"] == "the customer churned before, on another date"
    assert (story["customer"]["churn_date"], story["customer"]["arr"]) == ("2026-06-30", "5988.00")
    assert (story["waiting"], story["kafka"]) == ([], None)

    text = said(stage, "explain", ADA.upper())
    for told in (
        "churned 2026-06-30, after 166 days: growth, FinTech, signed up 2026-01-15, MRR $499.00, ARR $5,988.00",
        "rejected already_churned",
        "no signup of the customer was received before",
        f"at {stage.topics.churned}/{event.partition}/{event.offset}",
        '"cancellation_date": "2026-07-15"',
    ):
        assert told in text

    assert worker.stop() == 0
    assert explained(stage) == story, "the store is read by the command itself, and says the same"


def test_parked_and_pending_records_are_listed(stage: Stage) -> None:
    worker = started(stage)
    take(stage, worker, left(EVE), left(ADA), left(EVE, "2026-07-15"), signed_up(BOB))
    assert "has not signed up" in said(stage, "explain", EVE)
    assert [each["cancellation_date"] for each in explained(stage, EVE)["waiting"]] == ["2026-06-30", "2026-07-15"]

    listed = answer(stage, "parked", "list")
    assert [(c["customer_id"], len(c["cancellations"])) for c in listed["customers"]] == [(EVE, 2), (ADA, 1)]
    assert (listed["totals"]["records"], listed["totals"]["customers"]) == (3, 2)
    text = said(stage, "parked", "list", "--limit", "1")
    assert f"{stage.topics.cancellation}/0/0, {stage.topics.cancellation}/0/2" in text
    assert "2026-06-30, 2026-07-15" in text
    assert "and 1 more customer (--limit)" in text
    assert "3 cancellations of 2 customers" in text
    assert answer(stage, "parked", "list", "--older-than", "1d")["totals"]["records"] == 0

    assert worker.stop() == 0
    assert answer(stage, "parked", "list") == listed


def test_status_shows_positions_and_decisions(stage: Stage) -> None:
    worker = contradicted(stage)
    worker.wait_until(lambda: answer(stage, "status")["store"]["pending"] == 0, "everything marked as published")
    status = answer(stage, "status")
    assert (status["group"], status["inputs"]["members"]) == (stage.group, 1)
    assert {(p["topic"], p["position"], p["end"], p["lag"]) for p in status["inputs"]["partitions"]} == {
        (stage.topics.signup, 2, 2, 0),
        (stage.topics.cancellation, 4, 4, 0),
    }
    assert status["store"]["decisions"] == {"applied": 4, "parked": 1, "duplicate": 1, "rejected": 1}
    assert (status["store"]["customers"], status["store"]["churned"]) == (2, 2)
    assert status["dead_letters"] == {"count": 1, "by_state": {"open": 1}}
    assert status["store"]["size_bytes"] > 0
    assert all(check["ok"] for check in status["worker"]["checks"])
    assert status["worker"]["last_batch"]["records"] in {1, 2}
    text = said(stage, "status")
    for told in (
        "ready, version",
        "4 applied, 1 duplicate, 1 parked, 1 rejected",
        "1 open",
        "1 member",
        "0 to publish",
    ):
        assert told in text
    assert worker.stop() == 0


def test_status_of_a_stopped_worker_shows_lag_and_its_age(stage: Stage) -> None:
    worker = contradicted(stage)
    assert worker.stop() == 0
    stage.produce([signed_up(EVE), left(EVE), left(EVE)])
    status = answer(stage, "status")
    assert (status["worker"], status["inputs"]["members"]) == (None, 0)
    lags = {p["topic"]: p for p in status["inputs"]["partitions"]}
    assert (lags[stage.topics.signup]["lag"], lags[stage.topics.cancellation]["lag"]) == (1, 2)
    assert 0 <= lags[stage.topics.signup]["lag_seconds"] < 60
    assert "none running" in said(stage, "status")


def test_status_shows_records_deleted_before_they_were_read(stage: Stage) -> None:
    worker = contradicted(stage)
    assert worker.stop() == 0
    stage.produce([left(EVE)] * 3)
    cut(stage, stage.topics.cancellation, 6)
    [inputs] = [p for p in answer(stage, "status")["inputs"]["partitions"] if p["topic"] == stage.topics.cancellation]
    assert (inputs["position"], inputs["lag"], inputs["note"]) == (
        4,
        1,
        "2 records were deleted before they were read",
    )


def cut(stage: Stage, topic: str, offset: int) -> None:
    """Delete the records before this offset, as retention does."""
    admin = AdminClient({"bootstrap.servers": stage.kafka.bootstrap_servers, "log_level": 0})
    for done in admin.delete_records([TopicPartition(topic, 0, offset)]).values():
        done.result(30)


def test_deleted_record_is_shown_as_deleted(stage: Stage) -> None:
    contradicted(stage)
    cut(stage, stage.topics.cancellation, 3)
    story = explained(stage)
    assert told_by(story) == THE_STORY
    assert [step["said"]["note"] for step in story["steps"]] == [
        "no longer on its topic",
        None,
        "no longer on its topic",
        "no longer on its topic",
        None,
    ]
    assert story["steps"][2]["event"]["offset"] == event_of(stage, ADA).offset


def test_explain_reads_only_the_last_records_of_a_long_history(stage: Stage) -> None:
    worker = started(stage)
    take(stage, worker, *[left(EVE)] * (MAX_RECORDS + 10))
    steps = explained(stage, EVE)["steps"]
    assert [step["offset"] for step in steps] == list(range(MAX_RECORDS + 10))
    assert {step["said"]["note"] for step in steps[:10]} == {"not read: only the last 50 records are read"}
    assert all(json.loads(step["said"]["value"])["customer_id"] == EVE for step in steps[10:])


def test_explain_shows_a_record_above_its_own_size_limit(stage: Stage) -> None:
    worker = started(stage)
    take(stage, worker, left(EVE))
    [step] = explained(stage, EVE, BATCH__MAX_VALUE_BYTES="16")["steps"]
    assert json.loads(step["said"]["value"])["customer_id"] == EVE


def story_of(stage: Stage) -> CustomerHistory:
    return msgspec.json.decode(run(stage, "explain", ADA, "--json")[1], type=CustomerHistory)


def topics_tell(stage: Stage, story: CustomerHistory) -> TopicLookup:
    """Look up the records and events of a history on the topics, as `explain` does."""
    with stage.worker_settings() as settings:
        return asyncio.run(look_up_topics(settings, story))


@pytest.fixture(scope="module")
def asked(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Yield the stage of the contradicted worker, for tests that only read."""
    stage = Stage(kafka, tmp_path_factory.mktemp("asked"))
    contradicted(stage)
    yield stage
    stage.close()


def test_event_older_than_its_journal_row_is_found(asked: Stage) -> None:
    story = story_of(asked)
    later = [msgspec.structs.replace(step, at=step.at + timedelta(hours=1)) for step in story.steps]
    [place] = topics_tell(asked, msgspec.structs.replace(story, steps=later)).events.values()
    assert (place.offset, place.note) == (event_of(asked, ADA).offset, "")


def test_absent_event_is_missing_or_not_published_yet(asked: Stage) -> None:
    story = story_of(asked)
    for is_published, note in ((True, "not found"), (False, "not published yet")):
        steps = [
            msgspec.structs.replace(step, event_id=NOBODY, is_published=is_published) if step.event_id else step
            for step in story.steps
        ]
        [place] = topics_tell(asked, msgspec.structs.replace(story, steps=steps)).events.values()
        assert (place.offset, place.note) == (None, note)


def test_other_record_at_the_same_coordinates_is_recognised(asked: Stage) -> None:
    notes = {
        each.note
        for each in topics_tell(asked, msgspec.structs.replace(story_of(asked), customer_id=BOB)).records.values()
    }
    assert notes == {"another record has its offset: the topic was recreated"}


def test_churn_is_answered_by_the_running_worker(asked: Stage) -> None:
    found = answer(asked, "churn", "--by", "plan_tier")
    assert found["groups"] == [{"plan_tier": "growth", **found["total"]}]
    assert found["total"] == {"customers": 2, "lost_arr": "11976.00", "early_stage": 0, "early_stage_share": 0.0}


@pytest.mark.parametrize("table", ["customers", "churned", "journal"])
def test_tables_are_exported_beside_a_running_worker(asked: Stage, table: str) -> None:
    answered = answer(asked, "export", f"{table}.parquet", "--table", table)
    rows = pq.read_table(asked.directory / f"{table}.parquet").to_pylist()
    assert answered["rows"] == len(rows) == {"customers": 2, "churned": 2, "journal": 7}[table]
    assert {row["customer_id"] for row in rows} == {ADA, BOB}


def test_statement_is_run_beside_a_running_worker(asked: Stage) -> None:
    statement = """
        SELECT customer_id, lost_arr, count(*) AS decisions
        FROM churned JOIN journal USING (customer_id) GROUP BY ALL ORDER BY decisions
    """
    assert answer(asked, "sql", statement) == {
        "rows": [
            {"customer_id": BOB, "lost_arr": "5988.00", "decisions": 2},
            {"customer_id": ADA, "lost_arr": "5988.00", "decisions": 5},
        ],
        "has_more": False,
    }


def test_answers_without_kafka_omit_its_part(stage: Stage) -> None:
    worker = contradicted(stage)
    for _ in ("with a worker", "without one"):
        story = explained(stage, code=UNREACHABLE, KAFKA__BOOTSTRAP_SERVERS=NOWHERE)
        assert told_by(story) == THE_STORY
        assert {step["said"] for step in story["steps"]} == {step["event"] for step in story["steps"]} == {None}
        assert NOWHERE in story["kafka"]
        text = said(stage, "explain", ADA, code=UNREACHABLE, KAFKA__BOOTSTRAP_SERVERS=NOWHERE)
        assert "published" in text
        assert f"Kafka cannot be reached: {NOWHERE} refuses connections" in text

        status = answer(stage, "status", code=UNREACHABLE, KAFKA__BOOTSTRAP_SERVERS=NOWHERE)
        assert (status["inputs"], status["store"]["customers"]) == (None, 2)
        assert f"{stage.topics.cancellation}/0" in said(
            stage, "status", code=UNREACHABLE, KAFKA__BOOTSTRAP_SERVERS=NOWHERE
        )
        assert answer(stage, "parked", "list", KAFKA__BOOTSTRAP_SERVERS=NOWHERE)["customers"] == []
        worker.kill()


def test_store_of_a_killed_worker_is_read(stage: Stage) -> None:
    worker = contradicted(stage)
    story = explained(stage)
    worker.kill()
    assert worker.exit_code == KILLED
    before = store_bytes(stage)
    assert "customers.duckdb.wal" in before
    assert explained(stage) == story
    assert answer(stage, "status")["store"]["customers"] == 2
    assert answer(stage, "parked", "list")["customers"] == []
    assert store_bytes(stage) == before


def test_empty_store_is_no_error_unknown_customer_ends_with_1(stage: Stage) -> None:
    worker = started(stage)
    port_of(worker)
    for _ in ("with a worker", "without one"):
        assert "No parked cancellations." in said(stage, "parked", "list")
        assert answer(stage, "parked", "list")["totals"] == {"records": 0, "customers": 0, "since": None}
        assert answer(stage, "status")["store"]["decisions"] == {}
        assert "0 applied" in said(stage, "status")
        for options in ([], ["--json"]):
            code, out, err = run(stage, "explain", NOBODY, *options)
            assert (code, out) == (NO, b"")
            assert err.startswith(f"customer {NOBODY} not found: no record of it was read yet")
        assert worker.stop() == 0


@pytest.mark.parametrize("customer_id", ["", "ada", ADA[:-1], f"{ADA}0", f"{ADA}\n", f"{{{ADA}}}"])
def test_invalid_customer_id_is_a_usage_error(stage: Stage, customer_id: str) -> None:
    code, _, err = run(stage, "explain", customer_id)
    assert code == USAGE
    assert "customer_id is not a UUID" in err


@pytest.mark.parametrize("command", [("status",), ("explain", ADA), ("parked", "list")])
def test_command_without_a_store_creates_none(stage: Stage, command: tuple[str, ...]) -> None:
    code, out, err = run(stage, *command)
    assert (code, out) == (UNREACHABLE, b"")
    assert err.startswith("there is no store customers.duckdb. No worker has run here yet")
    assert list(stage.directory.glob("customers*")) == []


def test_worker_that_cannot_be_queried_is_reported_with_advice(stage: Stage) -> None:
    port_of(started(stage))
    for command in (("status",), ("explain", ADA), ("parked", "list")):
        told = said(stage, *command, code=UNREACHABLE, HTTP__ENABLED="false")
        assert "CUSTOMER_WORKER_HTTP__ENABLED is false: its worker serves no queries" in told
    path = socket_beside(stage.store_file)
    path.rename(path.with_name("moved"))
    told = said(stage, "status", code=UNREACHABLE)  # after a wait: it may be starting
    assert f"nothing responds at {path}: No such file or directory" in told
    assert "CUSTOMER_WORKER_HTTP__TOKEN" in told


def test_starting_or_stopping_worker_is_waited_for(heard: None, stage: Stage) -> None:
    worker = started(stage)
    port_of(worker)
    path = socket_beside(stage.store_file)
    assert path.is_socket()
    assert worker.stop() == 0
    assert not path.exists()
    with ExitStack() as starting:
        starting.enter_context(held(stage.store_file))
        deaf = starting.enter_context(closing(CommandSocket(path))).socket
        deaf.settimeout(30)
        asked = subprocess.Popen(
            module_command("status", "--json"),
            env=environment(stage.settings),
            cwd=stage.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(2):  # it asks again
            deaf.accept()[0].close()
    out, err = asked.communicate(timeout=30)
    assert asked.returncode == 0, err
    assert json.loads(out)["worker"] is None


def test_worker_on_a_free_port_is_queried(stage: Stage) -> None:
    stage.settings |= {"HTTP__ENABLED": "true", "HTTP__PORT": "0"}
    stage.create_topics()
    port_of(stage.start())
    assert answer(stage, "status")["worker"]["version"]


def test_worker_is_queried_whatever_listens_at_the_port(stage: Stage) -> None:
    port_of(started(stage))
    other = stage.start(STORE__URL="duckdb:///other.duckdb", KAFKA__GROUP_ID=f"{stage.group}-2", HTTP__PORT="0")
    assert answer(stage, "status", HTTP__PORT=port_of(other), HTTP__TOKEN="0123456789abcdef")["worker"] is not None


def test_worker_on_all_interfaces_is_queried_on_loopback(stage: Stage) -> None:
    serve(stage)
    stage.create_topics()
    port_of(stage.start(HTTP__HOST="0.0.0.0"))
    assert answer(stage, "status", HTTP__HOST="0.0.0.0")["worker"] is not None


def test_watch_survives_a_restart_and_ends_with_ctrl_c(heard: None, stage: Stage) -> None:
    worker = contradicted(stage)
    watching = subprocess.Popen(
        module_command("status", "--watch", "--json"),
        env=environment(stage.settings),
        cwd=stage.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with watching:
        assert watching.stdout is not None
        lines = (json.loads(line) for line in watching.stdout)
        assert next(lines)["worker"] is not None
        assert worker.stop() == 0
        assert any(line["worker"] is None for line in lines)
        worker = stage.start()  # though somebody looks at the store again and again
        assert any(line["worker"] is not None for line in lines)
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=30)
    assert watching.returncode == 0
    assert worker.stop() == 0


LOOKING_PROCESS = """
import sys
from worker.stores.duckdb.view import open_view
with open_view("customers.duckdb"):
    print("looking", flush=True)
    sys.stdin.readline()
"""


def test_starting_worker_waits_for_readers_of_its_store(stage: Stage) -> None:
    assert contradicted(stage).stop() == 0
    looking = subprocess.Popen(
        [sys.executable, "-c", LOOKING_PROCESS],
        env=environment(stage.settings),
        cwd=stage.directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with looking:
        assert looking.stdout is not None
        assert looking.stdout.readline() == "looking\n"
        worker = stage.start(LOG__LEVEL="DEBUG")
        worker.wait_until(lambda: bool(worker.events("store in use, waiting")), "waiting")
        looking.communicate("\n", timeout=30)
    worker.wait_until(lambda: bool(worker.events("started")), "started")
    assert worker.stop() == 0


@pytest.mark.parametrize("command", [("status",), ("explain",), ("parked", "list")])
def test_help_has_an_example(stage: Stage, command: tuple[str, ...]) -> None:
    assert f"Example: customer-worker {' '.join(command)}" in " ".join(said(stage, *command, "--help").split())
