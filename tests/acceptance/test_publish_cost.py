"""Requests to Kafka are counted per transaction: none per record."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient

from tests.support.builders import customer_id
from tests.support.stage import PARTITIONS, Stage
from worker.messages.churned_event import Envelope
from worker.messages.outgoing import Outgoing
from worker.outbox.publisher import Publisher
from worker.settings import Kafka

FEW, MANY = 200, 1_000  # all partitions are reached, and each partition's events fit into one batch
REQUESTS = {"ProduceRequest", "EndTxnRequest"}  # AddPartitionsToTxn is asked again while the last one is being ended


def test_requests_per_transaction_are_constant(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.create_topics()
    requests: Counter[str] = Counter()
    send = AIOKafkaClient.send

    async def counting(client: AIOKafkaClient, node: Any, request: Any, **options: Any) -> Any:
        requests[type(request).__name__] += 1
        return await send(client, node, request, **options)

    monkeypatch.setattr(AIOKafkaClient, "send", counting)
    few, many = asyncio.run(_publish(stage, requests))
    assert many == few
    assert many["EndTxnRequest"] == 1
    assert many["ProduceRequest"] <= PARTITIONS, "one a leader at most"


async def _publish(stage: Stage, requests: Counter[str]) -> Sequence[dict[str, int]]:
    settings = Kafka(bootstrap_servers=stage.kafka.bootstrap_servers, group_id=stage.group)
    publisher = Publisher(settings, {stage.topics.churned: PARTITIONS}, Envelope("/customers"))
    await publisher.start()
    found = []
    try:
        await publisher.publish(_events(stage, MANY))  # connects to the leaders
        for count in (FEW, MANY):
            requests.clear()
            ends = await publisher.publish(_events(stage, count))
            assert len(ends) == PARTITIONS
            found.append({name: requests[name] for name in REQUESTS})
    finally:
        await publisher.stop()
    return found


def _events(stage: Stage, count: int) -> list[Outgoing]:
    keys = [customer_id(number) for number in range(count)]
    return [Outgoing(key, stage.topics.churned, None, None, b"{}", [("ce_time", b"x")], key) for key in keys]
