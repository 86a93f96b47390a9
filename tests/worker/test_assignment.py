"""Changes of the assignment between two checks."""

import asyncio
from types import SimpleNamespace

from aiokafka import AIOKafkaConsumer, TopicPartition

from worker.consumer.assignment import Assignment
from worker.consumer.offset_commits import OffsetCommits
from worker.errors import Stop
from worker.settings import Settings
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.thread import StoreThread


def test_revoked_cancellations_are_left_to_the_next_assignment() -> None:
    asyncio.run(_release_after_the_partitions_were_taken())


def test_revocation_does_not_take_back_released_partitions() -> None:
    asyncio.run(_take_back_while_revoked())


async def _take_back_while_revoked() -> None:
    store, thread, stop = DuckDBStore(":memory:"), StoreThread(), Stop()
    assignment = Assignment(Settings(), store, thread, OffsetCommits(), stop, lambda records, _: records)
    assignment.subscriber = SimpleNamespace(consumer=None)  # whoever asks it for its partitions fails
    async with assignment.batch_lock:
        assignment.disown()
        taking = asyncio.create_task(assignment.reclaim())
        await asyncio.sleep(0)
        revoking = asyncio.create_task(assignment.on_partitions_revoked(set()))
        await asyncio.sleep(0)
    await asyncio.gather(taking, revoking)
    thread.close()
    assert not assignment.is_set.is_set()


async def _release_after_the_partitions_were_taken() -> None:
    store, thread, stop = DuckDBStore(":memory:"), StoreThread(), Stop()
    assignment = Assignment(Settings(), store, thread, OffsetCommits(), stop, lambda records, _: records)
    consumer = AIOKafkaConsumer()  # it has no partitions
    assignment.subscriber = SimpleNamespace(consumer=consumer)
    signups, cancellations = TopicPartition("customer.signup", 0), TopicPartition("customer.cancellation", 0)
    assignment.backlog.start({signups: 0, cancellations: 0}, {signups: 1_000_000, cancellations: 0})
    assert assignment.backlog.paused == {cancellations}
    assignment.is_set.set()
    await assignment.resume_cancellations()
    await consumer.stop()
    thread.close()
    assert not stop.is_asked
