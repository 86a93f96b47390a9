"""Records sent back to their topics: in order, at a rate, and one by one where a topic may not take them.

Not in transactions: one that is left open by a crash would keep the worker from everything behind it for a while.
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

MOST_RECORDS_AT_ONCE = 500
MOST_BYTES_AT_ONCE = 4 * 1024 * 1024
_RECORD_OVERHEAD_BYTES = 128
_HEADER_OVERHEAD_BYTES = 16


class Sender:
    """Sends records. `partitions` is how many each topic has, `sizes` what batches each takes.

    `sent` are the ids sent, in order; `too_large` those that their topic does not take; `ends` is where each
    partition ended after what was sent to it.
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
        """Whether these are as much as `send` should be given at once."""
        most = min(self._rate or MOST_RECORDS_AT_ONCE, MOST_RECORDS_AT_ONCE)
        return len(records) >= most or sum(map(_size, records)) >= MOST_BYTES_AT_ONCE

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Send these, in order, no faster than the rate. Raises `Refusal` where it cannot be known what is out."""
        for part in self._parts(records):
            try:
                async with asyncio.timeout(PUBLISH_SECONDS):
                    self.ends.update(await self._producer.send(part))
            except TOO_LARGE as error:
                if len(part) > 1:
                    raise self._doubt(part, error) from error
                self.too_large.append(part[0].id)
                await self._producer.stop()  # it goes on counting from a batch that is not there
                self._producer = self._new_producer()
                await self._start()
            except (KafkaError, OSError, TimeoutError) as error:
                raise self._doubt(part, error) from error
            else:
                self.sent += [record.id for record in part]
        if self._rate is not None:
            due = self._began + len(self.sent) / self._rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _parts(self, records: Sequence[Outgoing]) -> Iterator[Sequence[Outgoing]]:
        """The records in parts that their topics take for sure, and those alone of which that is not sure."""
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

    def _doubt(self, part: Sequence[Outgoing], error: Exception) -> Refusal:
        cause = in_words(root(error), self._settings)
        return Refusal(
            f"sending failed after {len(self.sent)} records ({cause}); of the next {len(part)} some may be out. See "
            "that Kafka is well, then run this again: it looks which are out, and sends the rest",
            Exit.UNREACHABLE,
        )


def _size(record: Outgoing) -> int:
    """The most bytes that a batch has of this record."""
    headers = sum(4 * len(name) + len(value or b"") + _HEADER_OVERHEAD_BYTES for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers + _RECORD_OVERHEAD_BYTES
