"""Redrive: dead letters are sent back to their topics, oldest first, and the worker's new decisions are read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack

import msgspec

from worker.errors import Exit, Refusal
from worker.kafka import clients as kafka
from worker.kafka.batch_sizes import BatchSizes
from worker.messages.outgoing import Outgoing
from worker.messages.record import TopicPartition
from worker.messages.redrive_headers import redriven
from worker.redrive.lock import redrive_lock
from worker.redrive.plan import Plan, plan
from worker.redrive.search import find_dead_letters, read_records
from worker.redrive.sender import Sender
from worker.redrive.source import DeadLetterSource
from worker.redrive.unread import Progress
from worker.settings import Settings
from worker.stores.dead_letters import Filters, Group, Letter, LetterRecord, State, grouped

STALLED_AFTER_SECONDS = 60.0
POLL_EVERY_SECONDS = 0.2


class RedriveResult(msgspec.Struct, frozen=True):
    """The number of records sent, the ids of those too large for their topic, and the worker's decisions.

    `decided` has the letters sent, in groups by their new state; None if the decisions were not awaited. `undecided`
    is the number that the worker has not read.
    """

    sent: int
    too_large: list[str]
    decided: list[Group] | None = None
    undecided: int = 0


async def redrive(
    settings: Settings,
    source: DeadLetterSource,
    filters: Filters,
    *,
    max_redrives: int,
    rate: int | None,
    stop: asyncio.Event,
    progress: Progress,
) -> tuple[Plan, Sender]:
    """Send the planned letters until done or until `stop` is set. Returns the plan and the sender with its results.

    Raises `Refusal` if another redrive runs, if Kafka cannot be reached, and if it is unknown what was sent.
    """
    async with AsyncExitStack() as stack:
        require_lock = stack.enter_context(redrive_lock(settings))  # first, to find all records of an earlier one
        letters, _ = await find_dead_letters(settings, source, filters)
        chosen = plan(letters, max_redrives)
        sender = await stack.enter_async_context(await _sender(settings, rate))
        waiting: list[Outgoing] = []
        async for letter, record in read_records(source, chosen.letters):
            waiting.append(_redriven(letter, record))
            if sender.is_enough(waiting):
                require_lock()
                await sender.send(waiting)
                waiting = []
                progress(len(sender.sent), len(chosen.letters))
            if stop.is_set():
                return chosen, sender
        if waiting:
            require_lock()
            await sender.send(waiting)
        return chosen, sender


async def _sender(settings: Settings, rate: int | None) -> Sender:
    topics = settings.topics.inputs
    async with kafka.admin_client(settings.kafka) as admin:
        partitions = await kafka.partition_counts(admin, topics)
        if missing := set(topics) - set(partitions):
            raise Refusal(
                f"these topics do not exist: {', '.join(sorted(missing))}. Dead letters are sent to their source "
                "topics. Create the topics, or set others in CUSTOMER_WORKER_TOPICS__*",
                Exit.UNREACHABLE,
            )
    sizes = BatchSizes()
    await sizes.read(settings.kafka, topics)
    return Sender(settings.kafka, partitions, sizes, rate)


def _redriven(letter: Letter, record: LetterRecord) -> Outgoing:
    refused = Outgoing(
        letter.id, letter.topic, record.partition, record.key, record.value, record.plain_headers(), letter.customer_id
    )
    return redriven(refused, letter.topic)


async def wait_until_read(
    source: DeadLetterSource, ends: Mapping[TopicPartition, int], stop: asyncio.Event, progress: Progress
) -> None:
    """Wait until the worker has read up to these ends, makes no progress for a minute, or `stop` is set."""
    left, moved = dict(ends), time.monotonic()
    positions: Mapping[TopicPartition, int] = {}
    while left and not stop.is_set() and time.monotonic() - moved < STALLED_AFTER_SECONDS:
        now = await source.positions()
        if now != positions:
            positions, moved = now, time.monotonic()
        left = {partition: end for partition, end in left.items() if positions.get(partition, 0) < end}
        progress(len(ends) - len(left), len(ends))
        if left:
            await asyncio.sleep(POLL_EVERY_SECONDS)


async def read_result(source: DeadLetterSource, filters: Filters, chosen: Plan, sender: Sender) -> RedriveResult:
    """Read the current state of the letters sent; their ARR at stake is that of the plan."""
    states = {letter.id: letter.state for letter in (await source.letters(filters)).letters}
    sent = set(sender.sent)
    now = [
        msgspec.structs.replace(letter, state=states.get(letter.id, State.OPEN))
        for letter in chosen.letters
        if letter.id in sent
    ]
    decided = [letter for letter in now if letter.state is not State.OPEN]
    return RedriveResult(len(sent), sender.too_large, grouped(decided), len(now) - len(decided))
