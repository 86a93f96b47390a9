"""Fetches by topic id (KIP-516): a recreated topic does not match the fetches of its predecessor.

aiokafka fetches by name, so between two comparisons of topic ids records of another log could be taken for those of
the current one. Version 13 of the Fetch API, supported by every Kafka since 3.1, names topics by id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import UnknownTopicOrPartitionError
from aiokafka.protocol.api import Request, Response
from aiokafka.protocol.fetch import FetchRequest, FetchResponse_v11

from worker.kafka.protocol import FetchRequest13, FetchResponse13

_UNKNOWN_TOPIC_ID, _INCONSISTENT_TOPIC_ID = 100, 103
_NO_SESSION = 0, -1
_NOT_KNOWN = -1


class TopicIdFetches:
    """The fetches of one consumer, sent by `topic_ids` if they are known and the broker supports such requests.

    For a recreated topic the broker returns an error, passed to aiokafka as an unknown topic: it fetches again after
    refreshing the metadata. Responses to requests sent before `topic_ids` were changed are dropped.
    """

    def __init__(self) -> None:
        self.topic_ids: Mapping[str, UUID] = {}
        self._client: Any = None

    def attach(self, consumer: AIOKafkaConsumer) -> None:
        """Send the consumer's fetches from now on; a second call for the same consumer changes nothing."""
        client = consumer._client  # noqa: SLF001 - no public call sends a fetch; aiokafka's minor version is pinned
        if client is not self._client:
            self._client = client
            self._send = client.send
            client.send = self.send

    async def send(self, node_id: int, request: Request[Any], **options: Any) -> Response:
        """Send a request as `AIOKafkaClient.send` does, a fetch by topic id."""
        if not isinstance(request, FetchRequest):
            return await self._send(node_id, request, **options)
        requested = {topic: self.topic_ids.get(topic) for topic, _ in request.topics}
        response = await self._fetch(node_id, request, requested, options)
        current = [each for each in response.topics or () if requested[each[0]] == self.topic_ids.get(each[0])]
        response.topics = current
        return response

    async def _fetch(
        self, node_id: int, request: FetchRequest, topic_ids: Mapping[str, UUID | None], options: Mapping[str, Any]
    ) -> Response:
        known = {topic: topic_id for topic, topic_id in topic_ids.items() if topic_id is not None}
        if len(known) == len(topic_ids):
            try:
                response = await self._send(node_id, _FetchById(request, known), **options)
            except NotImplementedError:  # a broker older than 3.1
                pass
            else:
                return _by_name(response, {topic_id: topic for topic, topic_id in known.items()})
        return await self._send(node_id, request, **options)


class _FetchById(Request[FetchRequest13]):  # type: ignore[misc]
    API_KEY = 1

    def __init__(self, request: FetchRequest, topic_ids: Mapping[str, UUID]) -> None:
        self._request = request
        self._topic_ids = topic_ids

    def build(self, request_struct_class: type[FetchRequest13]) -> FetchRequest13:
        by_name = self._request
        topics: list[tuple[Any, ...]] = [
            (self._topic_ids[topic], _requested(partitions), {}) for topic, partitions in by_name.topics
        ]
        return request_struct_class(
            -1,
            by_name._max_wait_ms,  # noqa: SLF001 - aiokafka's minor version is pinned
            by_name._min_bytes,  # noqa: SLF001
            by_name._max_bytes,  # noqa: SLF001
            by_name._isolation_level,  # noqa: SLF001
            *_NO_SESSION,
            topics,
            [],
            by_name._rack_id,  # noqa: SLF001
            {},
        )


def _requested(partitions: Iterable[tuple[int, int, int]]) -> list[tuple[Any, ...]]:
    return [
        (number, _NOT_KNOWN, offset, _NOT_KNOWN, _NOT_KNOWN, max_bytes, {}) for number, offset, max_bytes in partitions
    ]


def _by_name(response: FetchResponse13, names: Mapping[UUID, str]) -> FetchResponse_v11:
    """Return the response as aiokafka's fetcher reads it."""
    topics = [(names[topic_id], list(_partitions(partitions))) for topic_id, partitions, _ in response.topics]
    return FetchResponse_v11(response.throttle_time_ms, response.error_code, response.session_id, topics)


def _partitions(partitions: list[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    for number, error, *offsets, aborted, replica, records, _ in partitions:
        known = UnknownTopicOrPartitionError.errno if error in (_UNKNOWN_TOPIC_ID, _INCONSISTENT_TOPIC_ID) else error
        transactions = [(producer_id, first_offset) for producer_id, first_offset, _ in aborted or ()]
        yield (number, known, *offsets, transactions, replica, records or b"")
