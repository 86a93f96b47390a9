"""Components of a running worker."""

from __future__ import annotations

from worker.bootstrap import batch_path
from worker.consumer import joining
from worker.consumer.single_owner_assignor import evict_dead_members
from worker.consumer.subscriber import Consumer
from worker.errors import Stop
from worker.metrics.counters import Metrics
from worker.monitoring.store_watch import StoreWatch
from worker.outbox.output_topics import OutputTopics
from worker.outbox.relay import Relay
from worker.queries.server import QueryServer
from worker.queries.snapshot_server import SnapshotServer
from worker.runtime.resources import Resources, open_resources
from worker.settings import Settings
from worker.stores.thread import StoreThread
from worker.tracing.spans import Tracing


async def open_components(
    settings: Settings, thread: StoreThread, stop: Stop, metrics: Metrics, tracing: Tracing
) -> Components:
    """Open the resources, and build the components on them. Raises `Refusal`."""
    return Components(settings, await open_resources(settings, thread), thread, stop, metrics, tracing)


class Components:
    """The consumer, the relay, and what answers queries and checks the store, on the same resources."""

    def __init__(
        self,
        settings: Settings,
        resources: Resources,
        thread: StoreThread,
        stop: Stop,
        metrics: Metrics,
        tracing: Tracing,
    ) -> None:
        store = resources.store
        self._settings = settings
        self._members = resources.members
        self.store = store
        self.socket = resources.socket
        self.command_socket = resources.command_socket
        self.query_server = QueryServer(store, settings)
        self.snapshots = None if store.is_shared else SnapshotServer(store)
        self.store_watch = StoreWatch(store, thread)
        self.relay = Relay(settings, store, thread, stop, metrics, OutputTopics(settings, tracing))
        self.consumer = Consumer(settings, store, thread, batch_path(settings), self.relay, stop, metrics)
        self.consumer.applier.tracing = tracing

    async def require_compatible_members(self) -> None:
        """Raise `Refusal` if a member of the group uses another assignor."""
        await joining.require_compatible_members(self._settings, self.consumer.assignor.name)

    async def evict_dead_members(self) -> None:
        """Remove members of the group that had this store before; with a shared store, do nothing."""
        if store := self.store.exclusive_id:
            await evict_dead_members(self._settings, self._members, store)

    async def watch_store(self) -> None:
        """Check that the store is writable while no batch is being applied."""
        await self.store_watch.run(is_busy=lambda: self.consumer.applier.batch_began is not None)

    async def close_queries(self) -> None:
        """Interrupt the current query and the current snapshot, and accept no more."""
        if self.snapshots is not None:
            await self.snapshots.close()
        await self.query_server.close()

    async def relay_once_assigned(self) -> None:
        """Publish, but only once the group has accepted this worker: a new relay fences the one that publishes now."""
        await self.consumer.assignment.is_set.wait()
        await self.relay.run()
