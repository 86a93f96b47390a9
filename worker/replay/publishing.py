"""Publishing for a replay: by a relay, as in a worker, with the same recovery from receipts."""

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

STALLED_AFTER_SECONDS = 60.0
POLL_EVERY_SECONDS = 0.1
_LATER = "Decisions are kept, and the next running worker publishes them"


async def read_receipts(settings: Settings, store: Store, thread: StoreThread) -> None:
    """Read the receipts without publishing. Raises `Refusal`."""
    async with _refusals(settings):
        async with kafka.admin_client(settings.kafka) as admin:
            partitions = await kafka.partition_counts(admin, settings.topics.outputs)
        await keep_receipts(OutputTopics(settings), partitions, settings, store, thread)


class Publishing:
    """The running relay of a replay. With a shared store, it is a standby while a worker publishes."""

    def __init__(self, store: Store, thread: StoreThread, relay: Relay, running: asyncio.Task[None]) -> None:
        self._store = store
        self._thread = thread
        self._running = running
        self.offer = relay.offer

    async def finish(self) -> None:
        """Wait until the current outbox is published, by this relay or a worker. Raises `Refusal` if it stalls."""
        wanted, before = await self._thread.call(self._last_seq), -1
        while wanted > before:  # a shared store numbers a limited count of rows at a time
            wanted, before = await self._thread.call(self._last_seq), wanted
        published, moved = -1, time.monotonic()
        while (now := await self._thread.call(self._published_seq)) < wanted:
            if now != published:
                published, moved = now, time.monotonic()
            if time.monotonic() - moved > STALLED_AFTER_SECONDS:
                raise Refusal(
                    f"nothing could be published for {STALLED_AFTER_SECONDS:.0f} s. {_LATER}. "
                    "Check that Kafka is available",
                    Exit.UNREACHABLE,
                )
            await asyncio.wait({self._running}, timeout=POLL_EVERY_SECONDS)
            if self._running.done():
                self._running.result()
                raise Refusal(f"publishing was refused, see the line above. {_LATER}", Exit.SAFETY)

    def _last_seq(self) -> int:
        return self._store.last_seq

    def _published_seq(self) -> int:
        return self._store.published_seq


@asynccontextmanager
async def publishing(settings: Settings, store: Store, thread: StoreThread) -> AsyncIterator[Publishing]:
    """Run a relay that publishes committed rows and the earlier backlog. Receipts are read first.

    With a shared store, it publishes only while no worker does. Raises `Refusal` if a worker of the group publishes
    from another store, and if the receipts cannot be read.
    """
    await _require_no_other_store(settings, store)
    relay = Relay(settings, store, thread, Stop())
    try:
        if store.is_shared:
            await read_receipts(settings, store, thread)  # by reading only: a new producer would fence that of a worker
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
    """Raise `Refusal` if a member of the group runs on another store: a new relay would fence its relay.

    A member that had this DuckDB store has stopped, as the store is open here. Members that share PostgreSQL name no
    store in their user data.
    """
    members = await members_of(settings)
    if store.is_shared:
        is_another = any(member.user_data for member in members)
    else:
        is_another = not all(has_store(member, store.exclusive_id) for member in members)
    if is_another:
        raise Refusal(
            f"a worker of the group {settings.kafka.group_id} runs on another store, and publishes under the same "
            "transactional id. Stop it first, or set CUSTOMER_WORKER_STORE__URL to its store",
            Exit.UNREACHABLE,
        )


@asynccontextmanager
async def _refusals(settings: Settings) -> AsyncIterator[None]:
    """Turn errors into a `Refusal`."""
    try:
        yield
    except PositionRefused as refused:
        raise Refusal(str(refused), Exit.SAFETY) from None
    except ReceiptUnreadable as unreadable:
        raise Refusal(str(unreadable), Exit.UNREACHABLE) from None
    except (KafkaError, OSError, TimeoutError) as error:
        raise await kafka.unreachable(settings.kafka, error) from error
