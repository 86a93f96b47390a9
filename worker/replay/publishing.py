"""What comes of a replay goes out as what comes of the worker does: by the relay, whose receipts tell what is out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaError

from worker import kafka
from worker.one_worker import has_store, members_of
from worker.positions import PositionRefused
from worker.receipts import ReceiptUnreadable, keep_receipts
from worker.relay import Relay
from worker.settings import Settings
from worker.stopping import Exit, Refusal, Stop
from worker.store import Store
from worker.store_thread import StoreThread

PATIENCE_SECONDS = 60.0
_LATER = "What is decided is kept, and published by the worker at its next start"


async def read_receipts(settings: Settings, store: Store, thread: StoreThread) -> None:
    """Learn what is out, without publishing anything. Raises `Refusal`."""
    async with _refusals(settings):
        async with kafka.admin_client(settings.kafka) as admin:
            partitions = await kafka.partition_counts(admin, settings.topics.outputs)
        await keep_receipts(settings, store, thread, partitions)


class Publishing:
    """The relay of one replay, running."""

    def __init__(self, relay: Relay, running: asyncio.Task[None]) -> None:
        self._running = running
        self._relay = relay
        self.offer = relay.offer

    async def finish(self) -> None:
        """Until everything is out. Raises `Refusal` when nothing goes out for a minute."""
        caught_up = asyncio.ensure_future(self._relay.caught_up())
        try:
            while not caught_up.done():
                await asyncio.wait({caught_up, self._running}, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
                if self._running.done():
                    self._running.result()
                    raise Refusal(f"publishing was refused, as the line above says. {_LATER}", Exit.SAFETY)
                if self._relay.behind_seconds > PATIENCE_SECONDS:
                    raise Refusal(
                        f"nothing could be published for {PATIENCE_SECONDS:.0f} s. {_LATER}: see that Kafka is well",
                        Exit.UNREACHABLE,
                    )
        finally:
            caught_up.cancel()


@asynccontextmanager
async def publishing(settings: Settings, store: Store, thread: StoreThread) -> AsyncIterator[Publishing]:
    """A relay that has read its receipts and publishes what it is offered, and what had waited.

    Raises `Refusal` where another worker publishes under the same name, and where the receipt cannot be read.
    """
    await _require_no_other_worker(settings, store)
    relay = Relay(settings, store, thread, Stop())
    try:
        async with _refusals(settings):
            await relay.recover("replay")
        running = asyncio.create_task(relay.run())
        try:
            yield Publishing(relay, running)
        finally:
            running.cancel()
            await asyncio.wait({running})
    finally:
        await relay.close()


async def _require_no_other_worker(settings: Settings, store: Store) -> None:
    """A new relay ends the one before: not where that is the relay of a worker that does its work.

    A member that had our store is dead, for we have it.
    """
    members = await members_of(settings)
    if store.sole_owner_of is None and members:
        raise Refusal(
            f"workers of the group {settings.kafka.group_id} run, and one of them publishes. Stop them, run the "
            "command again, then start them; or replay with --emit none, which can be done beside them",
            Exit.UNREACHABLE,
        )
    if not all(has_store(member, store.sole_owner_of) for member in members):
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
        raise kafka.unreachable(settings.kafka, error) from error
