"""The job on Bytewax: one dataflow, state by key with snapshots in SQLite; its Kafka sink is at-least-once.

`python -m tests.benchmarks.peers.bytewax_dataflow BOOTSTRAP_SERVERS GROUP STATE_DIR PREFIX`
(the group is not used: positions are in the snapshots)
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from bytewax import operators
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from tests.benchmarks.peers.job import Json, decide

SNAPSHOT_INTERVAL = timedelta(seconds=1)
PRODUCER = {"partitioner": "murmur2_random", "enable.idempotence": "true"}


def main(bootstrap_servers: str, group: str, state_dir: str, prefix: str) -> None:
    inputs = [f"{prefix}customer.{name}" for name in ("signup", "cancellation")]
    flow = Dataflow("churn")
    records = operators.input("records", flow, KafkaSource([bootstrap_servers], inputs))
    churns = operators.stateful_flat_map("decide", operators.map("parse", records, _parsed), _decide)
    sink = KafkaSink([bootstrap_servers], f"{prefix}customer.churned", PRODUCER)
    operators.output("churned", operators.map("encode", churns, _encoded), sink)
    snapshots = Path(state_dir)
    snapshots.mkdir(parents=True)
    init_db_dir(snapshots, 1)
    cli_main(flow, epoch_interval=SNAPSHOT_INTERVAL, recovery_config=RecoveryConfig(snapshots, timedelta(0)))


def _parsed(record: Any) -> tuple[str, Json]:
    return record.key.decode(), orjson.loads(record.value)


def _decide(state: Json | None, message: Json) -> tuple[Json | None, Iterable[Json]]:
    after, event = decide(state, message)
    return after, () if event is None else (event,)


def _encoded(churn: tuple[str, Json]) -> Any:
    key, event = churn
    return KafkaSinkMessage(key.encode(), orjson.dumps(event))


if __name__ == "__main__":
    main(*sys.argv[1:])
