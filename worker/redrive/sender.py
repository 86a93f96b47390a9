"""Sender of redriven records: in order, rate-limited, and one by one if a topic may refuse them as too large.

It uses no transactions: one left open by a crash would block the worker until the transaction timeout.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

from aiokafka.errors import KafkaError

from worker.errors import Exit, Refusal
from worker.kafka import clients as kafka
from worker.kafka.batch_sizes import TOO_LARGE, BatchSizes
from worker.messages.outgoing import Outgoing
from worker.messages.record import TopicPartition
from worker.outbox.publish_errors import in_words, root
from worker.outbox.publisher import PUBLISH_SECONDS, BatchProducer, is_large
from worker.settings import Kafka

MAX_RECORDS = 500
MAX_BYTES = 4 * 1024 * 1024
_RECORD_OVERHEAD_BYTES = 128
_HEADER_OVERHEAD_BYTES = 16


class Sender:
    """Sender of redriven records. `partitions` has the number of each topic's partitions, `sizes` its largest batch.

    `sent` has the ids sent, in order, `too_large` those that their topic refuses, and `ends` the end offset of each
    partition after the last record sent to it.
    """

    def __init__(
        self, settings: Kafka, partitions: Mapping[str, int], sizes: BatchSizes, rate: int | None = None
    ) -> None:
        self._settings = settings
        self._partitions = partitions
        self._sizes = sizes
        self._rate = rate
        self._producer = self._new_producer()
        self.sent: list[str] = []
        self.too_large: list[str] = []
        self.ends: dict[TopicPartition, int] = {}

    def _new_producer(self) -> BatchProducer:
        producer = kafka.plain_producer(self._settings)
        return BatchProducer(producer, self._partitions, self._sizes, is_transactional=False)

    async def __aenter__(self) -> Self:
        await self._start()
        self._began = time.monotonic()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def _start(self) -> None:
        try:
            await self._producer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await self._producer.stop()
            raise await kafka.unreachable(self._settings, error) from error

    def is_enough(self, records: Sequence[Outgoing]) -> bool:
        """Return whether these records fill a call of `send`."""
        most = min(self._rate or MAX_RECORDS, MAX_RECORDS)
        return len(records) >= most or sum(map(_size, records)) >= MAX_BYTES

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Send records in order, within the rate. Raises `Refusal` if it is unknown which were sent."""
        for part in self._parts(records):
            try:
                async with asyncio.timeout(PUBLISH_SECONDS):
                    self.ends.update(await self._producer.send(part))
            except TOO_LARGE as error:
                if len(part) > 1:
                    raise self._unknown_outcome(part, error) from error
                self.too_large.append(part[0].id)
                await self._producer.stop()  # its sequence numbers count the refused batch
                self._producer = self._new_producer()
                await self._start()
            except (KafkaError, OSError, TimeoutError) as error:
                raise self._unknown_outcome(part, error) from error
            else:
                self.sent += [record.id for record in part]
        if self._rate is not None:
            due = self._began + len(self.sent) / self._rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _parts(self, records: Sequence[Outgoing]) -> Iterator[Sequence[Outgoing]]:
        """Split the records: runs that surely fit their topics, and each record that may not fit alone."""
        part: list[Outgoing] = []
        for record in records:
            size = self._sizes.fill(record.topic)
            if not is_large(record, size) and _size(record) <= size:
                part.append(record)
                continue
            if part:
                yield part
            yield [record]
            part = []
        if part:
            yield part

    def _unknown_outcome(self, part: Sequence[Outgoing], error: Exception) -> Refusal:
        cause = in_words(root(error), self._settings)
        return Refusal(
            f"sending failed after {len(self.sent)} records: {cause}. Some of the next {len(part)} may have been sent. "
            "Check that Kafka is available, then run the command again: it sends the records that are not on the topic",
            Exit.UNREACHABLE,
        )


def _size(record: Outgoing) -> int:
    """Return the most bytes that this record takes in a batch."""
    headers = sum(4 * len(name) + len(value or b"") + _HEADER_OVERHEAD_BYTES for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers + _RECORD_OVERHEAD_BYTES
