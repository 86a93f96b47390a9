"""Topics written and read as raw record batches: any bytes in any place, also names that no client can spell."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder
from confluent_kafka.admin import AdminClient
from typing_extensions import override

from tests.support.raw_batches import BatchHeader, RawRecord, pack, unpack
from tests.support.reader import partitions_of
from tests.support.records import Record
from worker.kafka import record_parsing
from worker.kafka.record_parsing import FetchedRecords, Reading, UnpackedBatch

READ_LIMIT_S = 120.0


class RawBatchBuilder(BatchBuilder):  # type: ignore[misc]
    """A batch for aiokafka's producer with these records. Their offsets are counted from 0."""

    def __init__(self, records: Sequence[RawRecord], header: BatchHeader) -> None:
        super().__init__(0, 0)
        self._records = records
        self._header = header
        self.close()

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._header = replace(self._header, producer=(producer_id, producer_epoch, base_sequence))

    def _build(self) -> bytearray:
        return bytearray(pack(self._records, self._header))

    def record_count(self) -> int:
        """Return the number of records."""
        return len(self._records)


async def send_raw(producer: AIOKafkaProducer, topic: str, partition: int, builder: RawBatchBuilder) -> Any:
    """Send a batch; returns the future of its acknowledgement."""
    return await producer.send_batch(builder, topic, partition=partition)


class _RawReading(Reading):
    @override
    def begin(self, partition: TopicPartition, fetched: FetchedRecords) -> None:
        fetched.batch = partial(_RawBatch, partition)


class _RawBatch(UnpackedBatch):
    def __init__(self, partition: TopicPartition, batch: Any, data: memoryview) -> None:
        super().__init__(batch, data)
        self._partition = partition

    @override
    def __iter__(self) -> Iterator[Any]:
        topic, partition = self._partition
        for each in unpack(self.data):
            headers = tuple((name.decode("utf-8", "surrogateescape"), value) for name, value in each.headers)
            yield Record(topic, partition, each.offset, each.timestamp, each.key, each.value, headers)


async def read_raw(
    bootstrap_servers: str,
    topics: Sequence[str],
    count: int = 0,
    still_worth_it: Callable[[], object] = lambda: None,
    limit_s: float = READ_LIMIT_S,
) -> list[Record]:
    """Read what `read_committed` consumers get, to the end and at least `count` records.

    Names that are not UTF-8 are escaped as Python escapes file names. Raises `AssertionError` after the time limit.
    """
    record_parsing.install()
    client = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    partitions = [TopicPartition(*each) for each in sorted(partitions_of(client, topics))]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=50,
        value_deserializer=_RawReading(),
    )
    await consumer.start()
    try:
        return await _read(consumer, partitions, count, still_worth_it, time.monotonic() + limit_s)
    finally:
        await consumer.stop()


async def _read(
    consumer: AIOKafkaConsumer,
    partitions: Sequence[TopicPartition],
    count: int,
    still_worth_it: Callable[[], object],
    deadline: float,
) -> list[Record]:
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    ends = await consumer.end_offsets(partitions)
    records: list[Record] = []
    left = set(partitions)
    while left or len(records) < count:
        still_worth_it()
        assert time.monotonic() < deadline, f"read {len(records)} records of {count}; not read to the end: {left}"
        for found in (await consumer.getmany(timeout_ms=200, max_records=20_000)).values():
            records += found
        left = {each for each in left if await consumer.position(each) < ends[each]}
    return records
