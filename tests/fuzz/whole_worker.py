"""Random records through a whole worker, its broker and its store, compared with the oracle; in rounds."""

import asyncio
import re
import tempfile
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from tests.fuzz.sending import Sender
from tests.fuzz.traffic import PARTITIONS, traffic
from tests.support.comparison import require_as_expected
from tests.support.kafka.broker import running_kafka
from tests.support.kafka.cluster import Kafka
from tests.support.kafka.configuring import configure
from tests.support.oracle import Expected, expected
from tests.support.postgres.server import Postgres, fresh_schema, running_postgres
from tests.support.raw_topics import read_raw
from tests.support.records import Record
from tests.support.stage import Stage
from tests.support.worker_process import WorkerProcess

ROUND = 100_000
"""Number of records of a round, which has topics and a store of its own."""
LIMIT_S = 400.0
LARGEST_BATCH = "8000000"
_SHOWN = 20

Tell = Callable[[str], None]


@dataclass(slots=True)
class Round:
    """One round: its number, seed, records, and the differences found."""

    number: int
    seed: int
    records: int

    @property
    def name(self) -> str:
        """The seed of its records."""
        return f"{self.seed}/worker/{self.number}"

    @property
    def is_killed(self) -> bool:
        """Whether the worker is killed in its midst."""
        return self.number % 2 == 1

    @property
    def appends_times(self) -> bool:
        """Whether the broker sets the timestamps of cancellations (LogAppendTime)."""
        return self.number % 3 == 1


def run(asked: Namespace, tell: Tell) -> int:
    """Play the rounds; returns 1 as soon as one of them differs."""
    began, outcomes = time.monotonic(), Counter[str]()
    with ExitStack() as cleanup:
        kafka = cleanup.enter_context(running_kafka())
        postgres = cleanup.enter_context(running_postgres()) if asked.store == "postgres" else None
        for each in _rounds(asked):
            try:
                outcomes.update(_play(each, kafka, postgres, tell))
            except AssertionError as differs:
                tell(f"round {each.number} of seed {each.seed}: {differs}")
                tell(f"repeat: python -m tests.fuzz --worker --store {asked.store} {_again(each, asked)}")
                return 1
    for outcome, count in sorted(outcomes.items()):
        tell(f"  {outcome}: {count:,}")
    tell(f"{outcomes.total():,} records in {time.monotonic() - began:.0f} s: 0 differences")
    return 0


def _again(each: Round, asked: Namespace) -> str:
    return f"--seed {each.seed} --records {asked.records} --at {each.number * ROUND}"


def _rounds(asked: Namespace) -> Iterator[Round]:
    numbers = range(-(-asked.records // ROUND)) if asked.at is None else [asked.at // ROUND]
    for number in numbers:
        yield Round(number, asked.seed, min(ROUND, asked.records - number * ROUND))


def _play(each: Round, kafka: Kafka, postgres: Postgres | None, tell: Tell) -> Counter[str]:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as directory:
        stage = Stage(kafka, Path(directory))
        if postgres is not None:
            stage.settings["STORE__URL"] = fresh_schema(postgres)
        try:
            return play(each, stage, tell)
        finally:
            for worker in stage.workers:
                worker.kill()


def play(each: Round, stage: Stage, tell: Tell) -> Counter[str]:
    """Send the records of a round, let a worker read them, and compare. Returns the outcomes."""
    began = time.monotonic()
    stage.create_topics(PARTITIONS)
    _configure(stage, each)
    sender = Sender(stage.kafka.bootstrap_servers, stage.topics, f"{stage.name}-sender")
    asyncio.run(sender.send(traffic(each.name, each.records)))
    sent_s = time.monotonic() - began
    inputs = asyncio.run(read_raw(stage.kafka.bootstrap_servers, stage.topics.inputs))
    _require_as_sent(sender, inputs, are_times_kept=not each.appends_times)
    wanted = expected(inputs, stage.topics, stage.group)
    worker_began = time.monotonic()
    worker = _work(each, stage)
    published = _published(stage, wanted, worker)
    assert worker.stop() == 0, worker.tail()
    worker_s = time.monotonic() - worker_began
    _require_as_expected(wanted, published, stage, inputs)
    tell(
        f"round {each.number}: {len(inputs):,} records, {len(wanted.events):,} events, {len(wanted.dead_letters):,} "
        f"dead letters, {len(wanted.parked):,} parked; {sum(sender.refused.values())} refused by the broker; "
        f"sent in {sent_s:.0f} s, worker {worker_s:.0f} s, all {time.monotonic() - began:.0f} s"
    )
    return Counter(" ".join(filter(None, outcome)) for outcome in wanted.outcomes.values())


def _configure(stage: Stage, each: Round) -> None:
    """Let the topics take any timestamp, keep every record, and take batches of the sizes sent."""
    servers, topics = stage.kafka.bootstrap_servers, stage.topics
    for topic in topics.inputs:
        for name in ("message.timestamp.after.max.ms", "message.timestamp.before.max.ms"):
            configure(servers, topic, name, str(2**63 - 1))
        configure(servers, topic, "retention.ms", "-1")
    for topic in (*topics.inputs, *topics.dead_letters):
        configure(servers, topic, "max.message.bytes", LARGEST_BATCH)
    if each.appends_times:
        configure(servers, topics.cancellation, "message.timestamp.type", "LogAppendTime")


def _work(each: Round, stage: Stage) -> WorkerProcess:
    """Let a worker read all records; one that is killed is followed by another."""
    worker = stage.start(LOG__FORMAT="json")
    if each.is_killed:
        worker.wait_until(lambda: worker.records_taken() > each.records // 3, "a third of the records", LIMIT_S)
        worker.kill()
        worker = stage.start(LOG__FORMAT="json")
    stage.wait_until_consumed(worker, LIMIT_S)
    return worker


def _published(stage: Stage, wanted: Expected, worker: WorkerProcess) -> list[Record]:
    """Return all that is published, once it is as many records as are due."""
    outputs = (stage.topics.churned, *stage.topics.dead_letters)
    count = len(wanted.events) + len(wanted.dead_letters)
    return asyncio.run(read_raw(stage.kafka.bootstrap_servers, outputs, count, worker.require_running, LIMIT_S))


def _require_as_sent(sender: Sender, inputs: list[Record], *, are_times_kept: bool) -> None:
    """Raise `AssertionError` if the topics do not have the records sent: then the comparison would prove nothing."""
    found = {record.coordinates: record for record in inputs}
    assert found.keys() == sender.visible.keys(), "not the records sent are on the input topics"
    for where, record in sender.visible.items():
        there = found[where] if are_times_kept else replace(found[where], timestamp=record.timestamp)
        assert there == record, f"{record} is on its topic as {there}"


def _require_as_expected(wanted: Expected, published: list[Record], stage: Stage, inputs: list[Record]) -> None:
    try:
        require_as_expected(wanted, published, stage.store(), stage.topics)
    except AssertionError as differs:
        raise AssertionError(
            "\n".join([str(differs), "records concerned:", *concerned(str(differs), inputs)])
        ) from None


def concerned(differences: str, inputs: list[Record]) -> list[str]:
    """Return the records whose coordinates or customers are named among the differences."""
    named = {
        (topic, int(partition), int(offset))
        for topic, partition, offset in re.findall(r"\('([^']+)', (\d+), (\d+)\)", differences)
    }
    ids = set(re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", differences))
    found = [
        record
        for record in inputs
        if record.coordinates in named or any(each.encode() in (record.value or b"").lower() for each in ids)
    ]
    return [repr(record)[:2_000] for record in found[:_SHOWN]]
