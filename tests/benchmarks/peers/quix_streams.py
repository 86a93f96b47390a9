"""The job on Quix Streams: both topics as one stream, one RocksDB state per customer, exactly-once.

`python -m tests.benchmarks.peers.quix_streams BOOTSTRAP_SERVERS GROUP STATE_DIR PREFIX`
"""

from __future__ import annotations

import sys
from typing import Any

from quixstreams import Application

from tests.benchmarks.peers.job import Json, decide

COMMIT_SECONDS = 1.0
"""Outputs, changelog and offsets are one Kafka transaction per interval; the default is 5 s."""


def main(bootstrap_servers: str, group: str, state_dir: str, prefix: str) -> None:
    app = Application(
        broker_address=bootstrap_servers,
        consumer_group=group,
        state_dir=state_dir,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=COMMIT_SECONDS,
        consumer_extra_config={"session.timeout.ms": 6_000, "heartbeat.interval.ms": 1_500},
        producer_extra_config={"linger.ms": 20},
        loglevel="WARNING",
    )
    inputs = (app.topic(f"{prefix}customer.{name}", key_deserializer="str") for name in ("signup", "cancellation"))
    churned = app.topic(f"{prefix}customer.churned", key_serializer="str")
    signups, cancellations = map(app.dataframe, inputs)
    events = signups.concat(cancellations).apply(_apply, stateful=True).filter(lambda event: event is not None)
    events.to_topic(churned)
    app.run()


def _apply(message: Json, state: Any) -> Json | None:
    before = state.get("customer")
    after, event = decide(before, message)
    if after is not before:
        state.set("customer", after)
    return event


if __name__ == "__main__":
    main(*sys.argv[1:])
