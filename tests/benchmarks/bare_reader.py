"""A bare aiokafka loop over the same topics: the limit of what any worker on it can reach. Prints records a second."""

from __future__ import annotations

import sys
import time

import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition


async def read(bootstrap_servers: str, records: int, *topics: str) -> float:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False)
    await consumer.start()
    places = [TopicPartition(topic, partition) for topic in topics for partition in range(8)]
    consumer.assign(places)
    for place in places:
        consumer.seek(place, 0)
    began, seen = time.monotonic(), 0
    while seen < records:
        seen += sum(map(len, (await consumer.getmany(timeout_ms=200, max_records=50_000)).values()))
    seconds = time.monotonic() - began
    await consumer.stop()
    return records / seconds


if __name__ == "__main__":
    print(round(uvloop.run(read(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))))
