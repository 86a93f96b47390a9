"""Cost of a batch, counted: requests of a running worker to Kafka, by kind.

A commit that raises a number here says why it is worth it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial

import pytest

from tests.support.builders import cancellation_value, customer_id, signup_value
from tests.support.reader import CommittedReader
from tests.support.records import Message
from tests.support.stage import JOB_LIMIT_S, Stage
from tests.support.worker_process import WorkerProcess

pytestmark = pytest.mark.timeout(120)

MOST_REQUESTS_A_BATCH = {"Fetch": 1, "AddPartitionsToTxn": 1, "Produce": 1, "EndTxn": 1, "OffsetCommit": 1}
PERIODIC = {"Heartbeat", "Metadata", "FindCoordinator", "DescribeGroups", "ListOffsets"}
"""Requests sent at intervals, whether or not records arrive."""
BATCHES = 6


@pytest.mark.parametrize("records", [10, 500])
def test_requests_per_batch_are_bounded(stage: Stage, records: int) -> None:
    stage.create_topics(1)
    customers = [customer_id(number) for number in range(records * BATCHES)]
    stage.produce([Message("signup", each.encode(), signup_value(each)) for each in customers])
    worker = stage.start([sys.executable, "-m", "tests.acceptance.counted_requests", "run"], LOG__FORMAT="json")
    stage.wait_until_consumed(worker)
    requests_before, batches_before = len(worker.events("request")), len(worker.events("batch applied"))
    _cancel(stage, worker, [customers[begin : begin + records] for begin in range(0, len(customers), records)])
    batches = len(worker.events("batch applied")) - batches_before
    requests = _requests(worker, requests_before)
    # A request is sent again where the broker is still ending the transaction before: rounding ignores a few.
    per_batch = {name: round(count / batches) for name, count in requests.items()}
    assert batches >= BATCHES
    assert Counter(per_batch) <= Counter(MOST_REQUESTS_A_BATCH), requests


def _cancel(stage: Stage, worker: WorkerProcess, groups: Sequence[Sequence[str]]) -> None:
    """Send each group of cancellations once all that the group before caused is done."""
    reader = CommittedReader(stage.kafka.bootstrap_servers, [stage.topics.churned])
    published = 0
    try:
        for group in groups:
            before = len(worker.events("request"))
            stage.produce([Message("cancellation", each.encode(), cancellation_value(each)) for each in group])
            published += len(group)
            reader.read_until(published, JOB_LIMIT_S, worker.require_running)
            worker.wait_until(partial(_has_committed, worker, before), "committed")
    finally:
        reader.close()


def _has_committed(worker: WorkerProcess, since: int) -> bool:
    return "OffsetCommit" in _requests(worker, since)


def _requests(worker: WorkerProcess, since: int) -> Counter[str]:
    """Count the requests after the first `since`, without periodic ones."""
    names = (str(event["request"]) for event in worker.events("request")[since:])
    return Counter(name for name in names if name not in PERIODIC)
