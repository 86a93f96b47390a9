"""Output topics in memory, in place of Kafka's: what is published on them can be read back as a receipt."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka import TopicPartition

from tests.support.builders import ADA, CHURNED
from tests.support.published import published
from worker.kafka.batch_sizes import BatchSizes
from worker.messages.outgoing import Outgoing
from worker.messages.record import PlainRecord
from worker.outbox.output_topics import OutputLogs, OutputTopics
from worker.outbox.publisher import BatchProducer, Publisher
from worker.settings import Settings

Log = list[PlainRecord]


def event(message_id: str, customer_id: str = ADA) -> Outgoing:
    """Return an event to be published; the customer decides the partition."""
    return Outgoing(message_id, CHURNED, None, None, b"{}", [], customer_id)


class TopicsInMemory(OutputTopics):
    """`logs_of` has the records of each partition, `begins` the first offset of those that were truncated.

    `failures` are raised by the next attempts to publish, each before its records are written; `late_failures` after.
    `steps` lists what was done, in order.
    """

    def __init__(self, settings: Settings, partitions: int = 1) -> None:
        super().__init__(settings)
        self.partitions = {CHURNED: partitions}
        self.logs_of: dict[TopicPartition, Log] = {TopicPartition(CHURNED, n): [] for n in range(partitions)}
        self.begins: dict[TopicPartition, int] = {}
        self.unmet: list[Exception] = []
        self.failures: list[Exception] = []
        self.late_failures: list[Exception] = []
        self.steps: list[str] = []
        self.transactions: list[list[str]] = []
        self.before_publishing: Callable[[], object] = lambda: None

    @property
    def ids(self) -> list[str]:
        """The id of every record, by partition."""
        return [(dict(record.headers)["ce_id"] or b"").decode() for log in self.logs_of.values() for record in log]

    def write(self, message: Outgoing, partition: int = 0) -> None:
        """Append a record as a relay would."""
        place = TopicPartition(CHURNED, partition)
        key, headers = published(message) if message.partition is None else (message.key, message.headers)
        offset = self.end(place)
        self.logs_of[place].append(PlainRecord(CHURNED, partition, offset, 0, key, message.value, list(headers)))

    def end(self, place: TopicPartition) -> int:
        """Return the next offset of a partition."""
        log = self.logs_of[place]
        return log[-1].offset + 1 if log else self.begins.get(place, 0)

    async def require_publishable(self) -> Mapping[str, int]:
        if self.unmet:
            raise self.unmet.pop(0)
        return self.partitions

    def publisher(self, partitions: Mapping[str, int]) -> Publisher:
        return PublisherInMemory(self)

    async def read_sizes(self, partitions: Mapping[str, int]) -> None:
        pass

    @asynccontextmanager
    async def logs(self, partitions: Mapping[str, int]) -> AsyncIterator[OutputLogs]:
        self.steps.append("read")
        begins = {place: self.begins.get(place, 0) for place in self.logs_of}
        yield OutputLogs(Reader(self), begins, {place: self.end(place) for place in self.logs_of})


class PublisherInMemory(Publisher):
    """Publishes to topics in memory."""

    def __init__(self, topics: TopicsInMemory) -> None:
        BatchProducer.__init__(self, None, topics.partitions, BatchSizes(), is_transactional=True)
        self._topics = topics

    async def start(self) -> None:
        self._topics.steps.append("start")

    async def stop(self) -> None:
        self._topics.steps.append("stop")

    async def publish(self, messages: Sequence[Outgoing]) -> dict[tuple[str, int], int]:
        self._topics.before_publishing()
        if self._topics.failures:
            raise self._topics.failures.pop(0)
        self._topics.transactions.append([message.id for message in messages])
        ends = {}
        for (topic, partition), those in self.by_partition(messages).items():
            for message in those:
                self._topics.write(message, partition)
            ends[topic, partition] = self._topics.end(TopicPartition(topic, partition))
        if self._topics.late_failures:
            raise self._topics.late_failures.pop(0)
        return ends


class Reader:
    """Reads the records of topics in memory."""

    def __init__(self, topics: TopicsInMemory) -> None:
        self._topics = topics
        self._positions: dict[TopicPartition, int] = {}

    def assign(self, places: Sequence[TopicPartition]) -> None:
        pass

    def seek(self, place: TopicPartition, offset: int) -> None:
        self._positions[place] = offset

    async def getmany(self, *places: TopicPartition, timeout_ms: int, max_records: int) -> dict[TopicPartition, Log]:
        found = {
            place: [record for record in self._topics.logs_of[place] if record.offset >= self._positions[place]]
            for place in places
        }
        self._positions.update((place, self._topics.end(place)) for place in places)
        return found

    async def position(self, place: TopicPartition) -> int:
        return self._positions[place]
