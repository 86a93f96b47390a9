"""Sends traffic to the input topics, some of it in transactions, of which some are aborted."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidTimestampError

from tests.fuzz.traffic import Sent
from tests.support.raw_topics import RawBatchBuilder
from tests.support.records import Coordinates, Record, Topics

ABORT_EVERY = 3


class Sender:
    """Sender of batches. `visible` are the records that `read_committed` consumers get, as they were sent.

    `refused` counts the records of batches that the broker refused for a timestamp.
    """

    _plain: AIOKafkaProducer
    _transactional: AIOKafkaProducer

    def __init__(self, bootstrap_servers: str, topics: Topics, name: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topics = topics
        self._name = name
        self._open: int | None = None
        self._unanswered: list[tuple[Any, Sent]] = []
        self.visible: dict[Coordinates, Record] = {}
        self.refused: Counter[str] = Counter()

    async def send(self, batches: Iterable[Sent]) -> None:
        """Send the batches in order within each partition, and wait until the broker has them."""
        servers = self._bootstrap_servers
        self._plain = AIOKafkaProducer(bootstrap_servers=servers, acks="all")
        self._transactional = AIOKafkaProducer(bootstrap_servers=servers, transactional_id=self._name)
        await self._plain.start()
        await self._transactional.start()
        try:
            for batch in batches:
                await self._send(batch)
            await self._end_transaction()
            for answer, batch in self._unanswered:
                await self._note(answer, batch)
        finally:
            await self._plain.stop()
            await self._transactional.stop()

    async def _send(self, batch: Sent) -> None:
        if batch.transaction is not None and batch.transaction != self._open:
            await self._end_transaction()
            await self._transactional.begin_transaction()
            self._open = batch.transaction
        producer = self._plain if batch.transaction is None else self._transactional
        builder = RawBatchBuilder(batch.records, batch.header)
        answer = await producer.send_batch(builder, self._topics.of(batch.kind), partition=batch.partition)
        self._unanswered.append((answer, batch))

    async def _end_transaction(self) -> None:
        if self._open is None:
            return
        if self._open % ABORT_EVERY:
            await self._transactional.commit_transaction()
        else:
            await self._transactional.abort_transaction()
        self._open = None

    async def _note(self, answer: Any, batch: Sent) -> None:
        try:
            base = (await answer).offset
        except InvalidTimestampError as error:
            self.refused[type(error).__name__] += len(batch.records)
            return
        if batch.transaction is not None and batch.transaction % ABORT_EVERY == 0:
            return
        topic = self._topics.of(batch.kind)
        for each in batch.records:
            headers = tuple((name.decode("utf-8", "surrogateescape"), value) for name, value in each.headers)
            record = Record(topic, batch.partition, base + each.offset, each.timestamp, each.key, each.value, headers)
            self.visible[record.coordinates] = record
