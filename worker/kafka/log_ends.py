"""Ends of the logs of partitions, requested from their leaders once; records of open transactions count."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.protocol.offset import OffsetRequest

from worker.kafka.topic_metadata import TopicMetadata

log = structlog.get_logger(__name__)

ASK_SECONDS = 5.0
NO_REPLICA = -1
READ_UNCOMMITTED = 0
LATEST = -1


async def log_ends(
    consumer: AIOKafkaConsumer, topics: Mapping[str, TopicMetadata], partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, int]:
    """Return the ends of these partitions of the topics, without those that cannot be read now.

    `end_offsets` of a consumer retries for 40 s if one partition fails, and that of a `read_committed` consumer
    excludes open transactions.
    """
    wanted: dict[int, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for topic, number in partitions:
        metadata = topics[topic].partitions.get(number) if topic in topics else None
        if metadata is not None and metadata.leader >= 0:
            wanted[metadata.leader][topic].append((number, LATEST))
    answers = await asyncio.gather(*(_ends_at(consumer, leader, asked) for leader, asked in wanted.items()))
    return {partition: end for answer in answers for partition, end in answer.items()}


async def _ends_at(
    consumer: AIOKafkaConsumer, leader: int, asked: Mapping[str, list[tuple[int, int]]]
) -> dict[TopicPartition, int]:
    client = consumer._client  # noqa: SLF001 - no public call takes a request; aiokafka's minor version is pinned
    try:
        async with asyncio.timeout(ASK_SECONDS):
            answer = await client.send(leader, OffsetRequest(NO_REPLICA, READ_UNCOMMITTED, list(asked.items())))
    except (KafkaError, OSError, TimeoutError) as error:
        log.debug("log ends not known", leader=leader, error=type(error).__name__)
        return {}
    return {
        TopicPartition(topic["topic"], each["partition"]): each["offset"]
        for topic in answer.to_object()["topics"]
        for each in topic["partitions"]
        if not each["error_code"]
    }
