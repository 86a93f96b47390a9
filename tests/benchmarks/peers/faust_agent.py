"""The job on Faust (faust-streaming): one agent over both topics, a table in RocksDB, `exactly_once`.

`python -m tests.benchmarks.peers.faust_agent BOOTSTRAP_SERVERS GROUP STATE_DIR PREFIX`
"""

from __future__ import annotations

import sys
from typing import Any

from mode.loop import use

use("uvloop")
import faust  # noqa: E402 - after the choice of the event loop

from tests.benchmarks.peers.job import decide  # noqa: E402

PARTITIONS = 8


def worker(bootstrap_servers: str, group: str, state_dir: str, prefix: str) -> Any:
    app = faust.App(
        group,
        broker=f"kafka://{bootstrap_servers}",
        datadir=state_dir,
        store="rocksdb://",
        processing_guarantee="exactly_once",
        topic_partitions=PARTITIONS,
        topic_replication_factor=1,
        topic_disable_leader=True,
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.5,
        broker_commit_interval=1.0,
        broker_max_poll_records=5_000,
        stream_buffer_maxsize=16_384,
        stream_wait_empty=False,
        producer_linger=0.02,
        web_enabled=False,
    )
    inputs = (f"{prefix}customer.signup", f"{prefix}customer.cancellation")
    codecs = {"key_type": str, "key_serializer": "raw", "value_serializer": "json"}
    churned = app.topic(f"{prefix}customer.churned", **codecs)
    customers = app.Table("customers", partitions=PARTITIONS, key_type=str)

    async def apply(messages: Any) -> None:
        async for key, message in messages.items():
            before = customers.get(key)
            after, event = decide(before, message)
            if after is not before:
                customers[key] = after
            if event is not None:
                await churned.send(key=key, value=event)

    app.agent(app.topic(*inputs, **codecs))(apply)
    return faust.Worker(app, loglevel="WARNING")


if __name__ == "__main__":
    worker(*sys.argv[1:]).execute_from_commandline()
