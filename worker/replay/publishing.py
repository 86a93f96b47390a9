"""What comes of a replay goes out as what comes of the worker does: by the relay, whose receipts tell what is out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaError

from worker.consumer.single_owner_assignor import has_store, members_of
from worker.errors import Exit, PositionRefused, Refusal, Stop
from worker.kafka import clients as kafka
from worker.outbox.output_topics import OutputTopics
from worker.outbox.receipts import ReceiptUnreadable, keep_receipts
from worker.outbox.relay import Relay
from worker.settings import Settings
from worker.stores.port import Store
from worker.stores.thread import StoreThread

PATIENCE_SECONDS = 60.0
LOOK_EVERY_SECONDS = 0.1
_LATER = "What is decided is kept, and published by the worker as soon as one runs"


async def read_receipts(settings: Settings, store: Store, thread: StoreThread) -> None:
    """Learn what is out, without publishing anything. Raises `Refusal`."""
    async with _refusals(settings):
        async with kafka.admin_client(settings.kafka) as admin:
            partitions = await kafka.partition_counts(admin, settings.topics.outputs)
        await keep_receipts(OutputTopics(settings), partitions, settings, store, thread)


class Publishing:
    """The relay of one replay, running; where workers share the store and one of them publishes, it stands by."""

    def __init__(self, store: Store, thread: StoreThread, relay: Relay, running: asyncio.Task[None]) -> None:
        self._store = store
        self._thread = thread
        self._running = running
        self.offer = relay.offer

    async def finish(self) -> None:
        """Until all that is in the outbox by now is out, whoever publishes. Raises `Refusal` when none does."""
        wanted, before = await self._thread.call(self._last_seq), -1
        while wanted > before:  # a shared store numbers so many rows at once: again, until there are no more
            wanted, before = await self._thread.call(self._last_seq), wanted
        published, moved = -1, time.monotonic()
        while (now := await self._thread.call(self._published_seq)) < wanted:
            if now != published:
                published, moved = now, time.monotonic()
            if time.monotonic() - moved > PATIENCE_SECONDS:
                raise Refusal(
                    f"nothing could be published for {PATIENCE_SECONDS:.0f} s. {_LATER}: see that Kafka is well",
                    Exit.UNREACHABLE,
                )
            await asyncio.wait({self._running}, timeout=LOOK_EVERY_SECONDS)
            if self._running.done():
                self._running.result()
                raise Refusal(f"publishing was refused, as the line above says. {_LATER}", Exit.SAFETY)

    def _last_seq(self) -> int:
        return self._store.last_seq

    def _published_seq(self) -> int:
        return self._store.published_seq


@asynccontextmanager
async def publishing(settings: Settings, store: Store, thread: StoreThread) -> AsyncIterator[Publishing]:
    """A relay that publishes what is committed, and what had waited; what is out already is known before.

    Where workers share the store, it does so only while none of them does. Raises `Refusal` where another worker
    publishes under the same name from another store, and where the receipt cannot be read.
    """
    await _require_no_other_store(settings, store)
    relay = Relay(settings, store, thread, Stop())
    try:
        if store.is_shared:
            await read_receipts(settings, store, thread)  # by reading alone: a new producer would end a worker's
        else:
            async with _refusals(settings):
                await relay.recover("replay")
        running = asyncio.create_task(relay.run())
        try:
            yield Publishing(store, thread, relay, running)
        finally:
            running.cancel()
            await asyncio.wait({running})
    finally:
        await relay.close()


async def _require_no_other_store(settings: Settings, store: Store) -> None:
    """A new relay ends the one before: not where that is the relay of a worker that does its work on another store.

    A member that had our DuckDB store is dead, for we have it. One that shares PostgreSQL says of no store.
    """
    members = await members_of(settings)
    if store.is_shared:
        is_another = any(member.user_data for member in members)
    else:
        is_another = not all(has_store(member, store.exclusive_id) for member in members)
    if is_another:
        raise Refusal(
            f"a worker of the group {settings.kafka.group_id} runs on another store, and publishes under the same "
            "name. Stop it first, or see that CUSTOMER_WORKER_STORE__URL names its store",
            Exit.UNREACHABLE,
        )


@asynccontextmanager
async def _refusals(settings: Settings) -> AsyncIterator[None]:
    """Say what an error means to who called the command."""
    try:
        yield
    except PositionRefused as refused:
        raise Refusal(str(refused), Exit.SAFETY) from None
    except ReceiptUnreadable as unreadable:
        raise Refusal(str(unreadable), Exit.UNREACHABLE) from None
    except (KafkaError, OSError, TimeoutError) as error:
        raise await kafka.unreachable(settings.kafka, error) from error
