"""SIGTERM ends the worker in good order; a second one ends it at once, and loses nothing."""

import time

import pytest

from tests.acceptance.corpus import make_corpus
from tests.acceptance.stage import PARTITIONS, Stage
from tests.acceptance.worker_process import WorkerProcess

pytestmark = pytest.mark.timeout(180)
SMALL_BATCHES = {"BATCH__MAX_RECORDS": "500"}
IN_GOOD_ORDER_S = 20
AT_ONCE_S = 3


def test_sigterm_in_the_middle_publishes_what_was_decided_and_leaves_the_group(stage: Stage) -> None:
    worker = _in_the_middle_of_work(stage)
    worker.terminate()
    assert worker.wait(IN_GOOD_ORDER_S) == 0, worker.tail()
    assert not worker.errors(), "nothing went wrong: this would be a false alarm"
    assert stage.group_is_empty(), "the group still has the member that was told to stop"
    _require_published_what_was_decided(stage)
    stage.run_to_the_end_of_the_topics()
    stage.require_as_expected()


def test_a_second_sigterm_stops_at_once_and_loses_nothing(stage: Stage) -> None:
    worker = _in_the_middle_of_work(stage)
    worker.terminate()
    worker.wait_until(lambda: "stopping" in worker.said() or worker.exit_code is not None, "told to stop")
    worker.terminate()
    began = time.monotonic()
    worker.wait(IN_GOOD_ORDER_S)
    assert time.monotonic() - began < AT_ONCE_S
    stage.run_to_the_end_of_the_topics()
    stage.require_as_expected()


def test_an_idle_worker_stops_in_good_order(stage: Stage) -> None:
    stage.create_topics()
    stage.produce(make_corpus(20, PARTITIONS, troubles=False).messages)
    stage.run_to_the_end_of_the_topics()
    assert stage.group_is_empty()


def _in_the_middle_of_work(stage: Stage) -> WorkerProcess:
    stage.settings |= SMALL_BATCHES
    stage.create_topics()
    stage.produce(make_corpus(6_000, PARTITIONS).messages)
    worker = stage.start()
    worker.wait_until(lambda: len(worker.events("batch applied")) >= 3, "in the middle of work")
    return worker


def _require_published_what_was_decided(stage: Stage) -> None:
    store, published = stage.store(), stage.published()
    churned = [customer_id for customer_id, customer in store.customers.items() if customer.churn_date is not None]
    rejected = [row for row in store.journal if row.outcome == "rejected"]
    assert 0 < len(store.journal) < len(stage.expected().outcomes), "it was not stopped in the middle"
    assert len([record for record in published if record.topic == stage.topics.churned]) == len(churned)
    assert len([record for record in published if record.topic != stage.topics.churned]) == len(rejected)
