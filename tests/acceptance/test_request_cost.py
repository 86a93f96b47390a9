"""Cost of a batch, counted: requests of a running worker to Kafka, by kind.

A commit that raises a number here says why it is worth it.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence

import pytest

from tests.support.builders import cancellation_value, customer_id, signup_value
from tests.support.producing import raw_producer, send
from tests.support.reader import CommittedReader
from tests.support.records import Message
from tests.support.stage import JOB_LIMIT_S, Stage
from tests.support.worker_process import WorkerProcess

pytestmark = pytest.mark.timeout(120)

MOST_REQUESTS_A_BATCH = {"Fetch": 1, "AddPartitionsToTxn": 1, "Produce": 1, "EndTxn": 1}
MOST_REQUESTS_A_SECOND = dict.fromkeys(
    ("OffsetCommit", "Heartbeat", "Metadata", "FindCoordinator", "DescribeGroups", "ListOffsets"), 1
)
"""Requests sent at intervals, not for a batch."""
BATCHES = 15


@pytest.mark.parametrize("records", [10, 500])
def test_requests_per_batch_are_bounded(stage: Stage, records: int) -> None:
    stage.create_topics(1)
    customers = [customer_id(number) for number in range(records * BATCHES)]
    stage.produce([Message("signup", each.encode(), signup_value(each)) for each in customers])
    worker = stage.start([sys.executable, "-m", "tests.acceptance.counted_requests", "run"], LOG__FORMAT="json")
    stage.wait_until_consumed(worker)
    worker.wait_until(lambda: bool(worker.events("recovered")), "recovered")
    requests_before, batches_before = len(worker.events("request")), len(worker.events("batch applied"))
    began = time.monotonic()
    _cancel(stage, worker, [customers[begin : begin + records] for begin in range(0, len(customers), records)])
    seconds = time.monotonic() - began
    requests = Counter(str(event["request"]) for event in worker.events("request")[requests_before:])
    batches = len(worker.events("batch applied")) - batches_before
    assert batches >= BATCHES
    # A request is sent again where the broker is still ending the transaction before: rounding ignores a few.
    per_batch = {
        name: max(0, round((count - MOST_REQUESTS_A_SECOND.get(name, 0) * seconds) / batches))
        for name, count in requests.items()
    }
    assert Counter(per_batch) <= Counter(MOST_REQUESTS_A_BATCH), f"{requests} for {batches} batches in {seconds:.1f} s"


def _cancel(stage: Stage, worker: WorkerProcess, groups: Sequence[Sequence[str]]) -> None:
    """Send each group of cancellations once the events of the group before are visible."""
    producer = raw_producer(stage.kafka.bootstrap_servers)
    reader = CommittedReader(stage.kafka.bootstrap_servers, [stage.topics.churned])
    published = 0
    try:
        for group in groups:
            cancellations = [Message("cancellation", each.encode(), cancellation_value(each)) for each in group]
            send(producer, stage.topics, cancellations)
            published += len(group)
            reader.read_until(published, JOB_LIMIT_S, worker.require_running)
    finally:
        reader.close()
