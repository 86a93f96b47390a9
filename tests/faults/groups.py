"""Around the worker: others join its group and leave, partitions are added, a second worker runs on a copy."""

import asyncio
import dataclasses
import random
import time
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]
from typing_extensions import override

from tests.faults.fault import DUCKDB, Fault
from tests.faults.play import Play
from tests.support.corpus import make_corpus
from tests.support.records import Message
from tests.support.stage import PARTITIONS, copy_of_store
from worker.consumer.single_owner_assignor import SingleOwnerAssignor

REBALANCES = 3
JOIN_LIMIT_S = 60.0
FROZEN_S = 34.0  # longer than the session (6 s) and the transaction (30 s)
STOPPED_FOR_SAFETY = 70
INPUT_GROWS = "a partition added to an input"
REPLACED = "worker frozen, a second on a copy of its store"
SLOW = (INPUT_GROWS, REPLACED)
NOTICE_LIMIT_S = 60.0
GROW_LIMIT_S = 330.0  # a client looks for new partitions every five minutes, unless told otherwise


class LateComer(SingleOwnerAssignor):
    """Says that it started after everyone else, and so gets nothing."""

    @classmethod
    @override
    def metadata(cls, topics: Iterable[str]) -> Any:
        told = super().metadata(topics)
        return type(told)(told.version, told.subscription, b"9" * 20)


def faults() -> list[Fault]:
    """All of them."""
    return [
        Fault("rebalances every few seconds", _rebalances),
        Fault(REPLACED, _frozen_and_replaced, stores=[DUCKDB]),
        Fault("worker frozen past its session", _frozen),
        Fault(INPUT_GROWS, _input_grows),
        Fault("a partition added to an output", _output_grows),
    ]


def _rebalances(play: Play, rng: random.Random) -> str:
    for _ in range(REBALANCES):
        asyncio.run(_join_and_leave(play, rng.uniform(0.5, 3)))
    return f"{REBALANCES} times joined and left"


async def _join_and_leave(play: Play, seconds: float) -> None:
    """With one worker the late-comer gets nothing; among many it gets its share, and gives it back unread."""
    stage = play.stage
    consumer = AIOKafkaConsumer(
        *stage.topics.inputs,
        bootstrap_servers=play.cluster.kafka.bootstrap_servers.split(","),
        group_id=stage.group,
        partition_assignment_strategy=(RangePartitionAssignor if play.is_shared else LateComer,),
        enable_auto_commit=False,
        session_timeout_ms=6_000,
    )
    async with asyncio.timeout(JOIN_LIMIT_S):
        await consumer.start()
    try:
        assert play.is_shared or not consumer.assignment(), "the late-comer was given partitions"
        await asyncio.sleep(seconds)  # how long it stays is the fault
    finally:
        await consumer.stop()


def _frozen(play: Play, rng: random.Random) -> str:
    seconds = rng.uniform(8, 12)
    play.worker.freeze()
    time.sleep(seconds)  # longer than its session: the group takes it for dead
    play.worker.thaw()
    return f"frozen for {seconds:.0f} s"


def _frozen_and_replaced(play: Play, _: random.Random) -> str:
    """Freeze the first worker, start a second on a copy of its store, thaw the first: one of them has to end."""
    first = play.worker
    first.freeze()
    began = time.monotonic()
    home = play.stage.directory
    elsewhere = play.directory / f"copy-{len(play.stage.workers)}"
    elsewhere.mkdir()
    copy_of_store(play.stage, elsewhere)
    play.stage.directory = elsewhere
    second = play.start()
    play.recovered(time.monotonic())
    time.sleep(max(0.0, FROZEN_S - (time.monotonic() - began)))  # past the transaction's timeout, too
    first.thaw()
    deadline = time.monotonic() + NOTICE_LIMIT_S
    while first.exit_code is None and second.exit_code is None:
        assert time.monotonic() < deadline, f"two workers run side by side:\n{first.tail()}\n{second.tail()}"
        time.sleep(0.1)
    ended, name = (first, "first") if first.exit_code is not None else (second, "second")
    assert ended.wait() == STOPPED_FOR_SAFETY, f"the {name} ended with {ended.exit_code}:\n{ended.tail()}"
    play.workers[play.slot] = second if ended is first else first
    if ended is second:
        play.stage.directory = home
        play.is_store_behind = True
    return f"the {name} stopped with {STOPPED_FOR_SAFETY}"


def _input_grows(play: Play, rng: random.Random) -> str:
    """Sign up new customers on a new partition only; their records must be read without an operator's action."""
    topic = play.stage.topics.signup
    partition = _add_partition(play, topic)
    fresh = make_corpus(200, PARTITIONS, seed=rng.randrange(1 << 30), troubles=False)
    signups = [dataclasses.replace(message, partition=partition) for message in fresh.signups]
    last = f"last-{partition}".encode()
    play.stage.produce([*signups, Message("signup", last, b"no JSON", partition=partition), *fresh.cancellations])
    took = play.wait_for(lambda: play.watcher.has_seen(last), "reading the new partition", GROW_LIMIT_S)
    return f"noticed after {took:.0f} s"


def _output_grows(play: Play, _: random.Random) -> str:
    partition = _add_partition(play, play.stage.topics.churned)
    play.partitions_of_churned.append(partition + 1)
    play.turn_to_publisher()
    play.restart()  # the relay asks how many there are when it recovers
    play.watcher.watch_also(play.stage.topics.churned, partition)
    play.wait_for(lambda: play.watcher.has_read_from(play.stage.topics.churned, partition), "events on it")
    return "events on the new partition"


def _add_partition(play: Play, topic: str) -> int:
    count = len(play.cluster.admin.list_topics(topic, timeout=30).topics[topic].partitions)
    play.cluster.admin.create_partitions([NewPartitions(topic, count + 1)])[topic].result(30)
    play.wait_for(
        lambda: len(play.cluster.admin.list_topics(topic, timeout=30).topics[topic].partitions) > count, "one more"
    )
    return count
