"""Fetches name topics by id; responses for another topic id are dropped. On the bytes of a broker."""

from __future__ import annotations

import asyncio
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.protocol.api import Request, RequestStruct
from aiokafka.protocol.fetch import FetchRequest, FetchResponse_v11
from aiokafka.protocol.metadata import MetadataRequest

from worker.kafka.protocol import FetchRequest13, FetchResponse13
from worker.kafka.topic_id_fetches import TopicIdFetches

OLD, NEW = UUID(int=1), UUID(int=2)
KAFKA_2_8, KAFKA_4 = {1: (0, 12), 3: (0, 12)}, {1: (4, 17), 3: (0, 13)}
NO_ERROR, UNKNOWN_TOPIC, UNKNOWN_TOPIC_ID, INCONSISTENT_TOPIC_ID = 0, 3, 100, 103


class Client:
    """The part of aiokafka's client that sends, with a broker that has one topic, `signups`."""

    def __init__(self, versions: dict[int, tuple[int, int]] = KAFKA_4, error: int = NO_ERROR) -> None:
        self.versions = versions
        self.error = error
        self.requests: list[RequestStruct] = []
        self.asked = asyncio.Event()
        self.answer_now: asyncio.Event | None = None

    async def send(self, node_id: int, request: Request[Any], **_: Any) -> Any:
        struct = request.prepare(self.versions)
        sent = type(struct).decode(BytesIO(struct.encode()))
        self.requests.append(sent)
        self.asked.set()
        if self.answer_now is not None:
            await self.answer_now.wait()
        if isinstance(sent, FetchRequest13):
            [(topic_id, [(partition, *_)], _)] = sent.topics
            data: tuple[Any, ...] = (partition, self.error, 9, 8, 7, [(5, 6, {})], -1, b"records", {})
            answer = FetchResponse13(0, 0, 0, [(topic_id, [data], {})], {})
            return FetchResponse13.decode(BytesIO(answer.encode()))
        if isinstance(request, FetchRequest):
            return FetchResponse_v11(0, 0, 0, [("signups", [(0, 0, 9, 8, 7, [(5, 6)], -1, b"records")])])
        return None


class Consumer:
    """The part of aiokafka's consumer that has the client."""

    def __init__(self, client: Client) -> None:
        self._client = client


FETCH = FetchRequest(500, 1, 1_000_000, READ_COMMITTED, [("signups", [(0, 42, 1_000)])])


def attached(client: Client, **topic_ids: UUID) -> TopicIdFetches:
    fetches = TopicIdFetches()
    fetches.attach(Consumer(client))
    fetches.topic_ids = topic_ids
    return fetches


def test_fetch_is_sent_by_id_and_answered_by_name() -> None:
    client = Client()
    attached(client, signups=OLD)
    response = asyncio.run(client.send(1, FETCH))
    [request] = client.requests
    assert request.topics == [(OLD, [(0, -1, 42, -1, -1, 1_000, {})], {})]
    assert (request.max_wait_time, request.min_bytes, request.max_bytes) == (500, 1, 1_000_000)
    assert request.isolation_level == READ_COMMITTED
    assert response.API_VERSION == FetchResponse_v11.API_VERSION
    assert response.topics == [("signups", [(0, NO_ERROR, 9, 8, 7, [(5, 6)], -1, b"records")])]


@pytest.mark.parametrize("error", [UNKNOWN_TOPIC_ID, INCONSISTENT_TOPIC_ID])
def test_another_topic_of_the_name_is_an_unknown_topic(error: int) -> None:
    client = Client(error=error)
    attached(client, signups=OLD)
    response = asyncio.run(client.send(1, FETCH))
    [(_, [(_, found, *_)])] = response.topics
    assert found == UNKNOWN_TOPIC


@pytest.mark.parametrize(
    ("versions", "topic_ids"), [(KAFKA_2_8, {"signups": OLD}), (KAFKA_4, {})], ids=["old broker", "no id"]
)
def test_fetch_is_sent_by_name_otherwise(versions: dict[int, tuple[int, int]], topic_ids: dict[str, UUID]) -> None:
    client = Client(versions)
    attached(client, **topic_ids)
    response = asyncio.run(client.send(1, FETCH))
    [request] = client.requests
    assert request.topics[0][0] == "signups"
    assert [topic for topic, _ in response.topics] == ["signups"]


@pytest.mark.parametrize("before", [{"signups": OLD}, {}], ids=["another id", "no id"])
def test_response_to_a_request_for_former_ids_is_dropped(before: dict[str, UUID]) -> None:
    client = Client()
    fetches = attached(client, **before)

    async def fetch_while_the_ids_change() -> Any:
        client.answer_now = asyncio.Event()
        fetching = asyncio.create_task(client.send(1, FETCH))
        await client.asked.wait()
        fetches.topic_ids = {"signups": NEW}
        client.answer_now.set()
        return await fetching

    assert asyncio.run(fetch_while_the_ids_change()).topics == []


def test_other_requests_are_sent_as_they_are() -> None:
    client = Client()
    attached(client, signups=OLD)
    asyncio.run(client.send(1, MetadataRequest([])))
    assert [request.API_KEY for request in client.requests] == [MetadataRequest.API_KEY]


def test_a_consumer_is_attached_once() -> None:
    client = Client()
    fetches = attached(client, signups=OLD)
    fetches.attach(Consumer(client))
    asyncio.run(client.send(1, FETCH))
    assert len(client.requests) == 1
