"""Dead letters sent back to the topics they came from: which, in what order, and what became of them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from decimal import Decimal

import msgspec

from worker.errors import Exit, Refusal
from worker.kafka import clients as kafka
from worker.kafka.batch_sizes import BatchSizes
from worker.messages.outgoing import Outgoing
from worker.messages.record import TopicPartition
from worker.messages.redrive_headers import redriven
from worker.redrive.looking import DeadLetterSource, look, records_of
from worker.redrive.sending import Sender
from worker.redrive.unread import Progress
from worker.settings import Settings
from worker.store_operations import redrive_lock
from worker.stores.dead_letters import Filters, Group, Letter, LetterRecord, State, grouped, total

PATIENCE_SECONDS = 60.0
LOOK_EVERY_SECONDS = 0.2


class Plan(msgspec.Struct, frozen=True):
    """Which letters are to be sent, oldest first, and how many are left out and why."""

    letters: list[Letter]
    left_out: dict[str, int]

    @property
    def groups(self) -> list[Group]:
        """What is to be sent, in groups."""
        return grouped(self.letters)

    @property
    def arr_at_stake(self) -> Decimal:
        """What is at stake with it."""
        return total(self.letters)


def plan(letters: Sequence[Letter], max_redrives: int) -> Plan:
    """Of these letters, those that are open and were not redriven too often."""
    left_out: Counter[str] = Counter()
    chosen = []
    for letter in letters:
        if letter.state is not State.OPEN:
            left_out[letter.state.value] += 1
        elif letter.redrives >= max_redrives:
            left_out["redriven_too_often"] += 1
        else:
            chosen.append(letter)
    return Plan(chosen, dict(left_out))


class Sent(msgspec.Struct, frozen=True):
    """What came of sending: how many are out, the ids of those too large for their topic, and what they became.

    `decided` are the letters sent, in groups by what the worker made of them; None where it was not waited for.
    `undecided` is how many of them it has not read.
    """

    sent: int
    too_large: list[str]
    decided: list[Group] | None = None
    undecided: int = 0


async def redrive(
    settings: Settings,
    asked: DeadLetterSource,
    filters: Filters,
    *,
    max_redrives: int,
    rate: int | None,
    stop: asyncio.Event,
    progress: Progress,
) -> tuple[Plan, Sender]:
    """Send what `plan` says of the letters that are meant, until done or `stop` is set; what was sent, by its sender.

    Raises `Refusal` where another redrive runs, and where Kafka cannot be reached, or fails so that it cannot be
    known what is out.
    """
    async with AsyncExitStack() as stack:
        require_only = stack.enter_context(redrive_lock(settings))  # before the look: what another sends is seen
        letters, _ = await look(settings, asked, filters)
        chosen = plan(letters, max_redrives)
        sender = await stack.enter_async_context(await _sender(settings, rate))
        waiting: list[Outgoing] = []
        async for letter, record in records_of(asked, chosen.letters):
            waiting.append(_again(letter, record))
            if sender.is_enough(waiting):
                require_only()
                await sender.send(waiting)
                waiting = []
                progress(len(sender.sent), len(chosen.letters))
            if stop.is_set():
                return chosen, sender
        if waiting:
            require_only()
            await sender.send(waiting)
        return chosen, sender


async def _sender(settings: Settings, rate: int | None) -> Sender:
    topics = settings.topics.inputs
    async with kafka.admin_client(settings.kafka) as admin:
        partitions = await kafka.partition_counts(admin, topics)
        if missing := set(topics) - set(partitions):
            raise Refusal(
                f"these topics do not exist: {', '.join(sorted(missing))}. Dead letters go back to where they came "
                "from: create the topics, or name others in CUSTOMER_WORKER_TOPICS__*",
                Exit.UNREACHABLE,
            )
    sizes = BatchSizes()
    await sizes.read(settings.kafka, topics)
    return Sender(settings.kafka, partitions, sizes, rate)


def _again(letter: Letter, record: LetterRecord) -> Outgoing:
    refused = Outgoing(
        letter.id, letter.topic, record.partition, record.key, record.value, record.plain_headers(), letter.customer_id
    )
    return redriven(refused, letter.topic)


async def wait_until_read(
    asked: DeadLetterSource, ends: Mapping[TopicPartition, int], stop: asyncio.Event, progress: Progress
) -> None:
    """Until the worker has read up to these ends, gets no further for a minute, or `stop` is set."""
    left, moved = dict(ends), time.monotonic()
    positions: Mapping[TopicPartition, int] = {}
    while left and not stop.is_set() and time.monotonic() - moved < PATIENCE_SECONDS:
        now = await asked.positions()
        if now != positions:
            positions, moved = now, time.monotonic()
        left = {place: end for place, end in left.items() if positions.get(place, 0) < end}
        progress(len(ends) - len(left), len(ends))
        if left:
            await asyncio.sleep(LOOK_EVERY_SECONDS)


async def became(asked: DeadLetterSource, filters: Filters, chosen: Plan, sender: Sender) -> Sent:
    """What the worker has made of what was sent by now, with the money that was at stake before."""
    states = {letter.id: letter.state for letter in (await asked.letters(filters)).letters}
    sent = set(sender.sent)
    now = [
        msgspec.structs.replace(letter, state=states.get(letter.id, State.OPEN))
        for letter in chosen.letters
        if letter.id in sent
    ]
    decided = [letter for letter in now if letter.state is not State.OPEN]
    return Sent(len(sent), sender.too_large, grouped(decided), len(now) - len(decided))
