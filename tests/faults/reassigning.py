"""Moves the partitions of a topic to other brokers, by Kafka's own tool."""

import json
from collections.abc import Sequence
from pathlib import Path

from tests.faults.cluster import Cluster
from tests.support.kafka.tool import REASSIGN_PARTITIONS

LIMIT_S = 60.0


def reassign(cluster: Cluster, topic: str, replicas: Sequence[int], directory: Path) -> None:
    """Keep each partition on these brokers only (indexes into `kafka.nodes`), and wait until it is so."""
    partitions = cluster.admin.list_topics(topic, timeout=30).topics[topic].partitions
    nodes = [index + 1 for index in replicas]
    plan = {
        "version": 1,
        "partitions": [{"topic": topic, "partition": number, "replicas": nodes} for number in partitions],
    }
    file = directory / "reassignment.json"
    file.write_text(json.dumps(plan))
    cluster.kafka.tool(REASSIGN_PARTITIONS, "--reassignment-json-file", str(file), "--execute")
    cluster.wait_for(lambda: cluster.in_sync(topic) == set(replicas), f"{topic} on the brokers {nodes}", LIMIT_S)
