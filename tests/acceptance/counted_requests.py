"""The worker's command line, with a line on standard error for each request to Kafka, as Kafka's protocol names it.

A fetch counts if it returned records.
"""

from __future__ import annotations

import json
import os
from typing import Any

from aiokafka.client import AIOKafkaClient

from worker.cli.main import main

FETCH = 1
NAMES = {
    0: "Produce", FETCH: "Fetch", 2: "ListOffsets", 3: "Metadata", 8: "OffsetCommit", 10: "FindCoordinator",
    12: "Heartbeat", 15: "DescribeGroups", 24: "AddPartitionsToTxn", 26: "EndTxn",
}  # fmt: skip
"""Names of the requests by their keys; others have the name of their class."""
_send = AIOKafkaClient.send


async def _send_and_print(client: AIOKafkaClient, node_id: int, request: Any, **options: Any) -> Any:
    response = await _send(client, node_id, request, **options)
    if request.API_KEY != FETCH or _has_records(response):
        name = NAMES.get(request.API_KEY, type(request).__name__)
        os.write(2, (json.dumps({"event": "request", "request": name}) + "\n").encode())
    return response


def _has_records(response: Any) -> bool:
    """Return whether a fetch returned records, the only field of a partition that is bytes."""
    partitions = [partition for _, partitions, *_ in response.topics for partition in partitions]
    return any(field for partition in partitions for field in partition if isinstance(field, bytes))


if __name__ == "__main__":
    AIOKafkaClient.send = _send_and_print
    main()
