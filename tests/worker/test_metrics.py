"""Counters and gauges equal the records and amounts, from the first scrape on."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from aiokafka.errors import KafkaConnectionError, NotLeaderForPartitionError, ProducerFenced, RequestTimedOutError
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage
from prometheus_client.parser import text_string_to_metric_families

from tests.support.builders import (
    ADA,
    BOB,
    CANCELLATIONS,
    CHURNED,
    EVE,
    SIGNUPS,
    apply,
    cancellation,
    decoded,
    record,
    signup,
)
from worker.errors import Exit, Refusal
from worker.messages.outgoing import Outgoing
from worker.metrics.counters import Cause, Metrics, Stage
from worker.metrics.event_ages import SECONDS, EventAges
from worker.metrics.poll_metrics import poll_metrics
from worker.monitoring.checks import Check
from worker.monitoring.exposition import age_seconds, exposition
from worker.monitoring.gauges import Reading, StoreReading
from worker.outbox.failures import cause_of
from worker.outbox.receipts import ReceiptUnreadable
from worker.processing.batch import BatchResult
from worker.settings import Topics
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.errors import StoreError
from worker.stores.reading import AtStake, Waiting

NOW = 1_782_820_800.0
NOTHING = Reading([], {}, {}, None)
Samples = dict[tuple[str, ...], float]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(Topics())


def scrape(metrics: Metrics, reading: Reading = NOTHING) -> Samples:
    """Every sample: its name without the prefix, and its labels' values in the labels' order."""
    text = exposition(metrics, reading, "")[0].decode()
    return {
        (sample.name.removeprefix("customer_worker_"), *dict(sorted(sample.labels.items())).values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def count(metrics: Metrics, store: DuckDBStore, *records: object) -> None:
    result = apply(store, records)  # type: ignore[arg-type]
    metrics.applied(len(records), result, {})


def published(*timestamps: int, topic: str = CHURNED) -> list[Outgoing]:
    return [Outgoing(str(n), topic, None, b"k", b"v", [], ADA, at) for n, at in enumerate(timestamps)]


# What is counted


def test_counters_exist_before_the_first_record(metrics: Metrics) -> None:
    seen = scrape(metrics)
    for topic in (SIGNUPS, CANCELLATIONS):
        for outcome in ("applied", "duplicate", "parked", "rejected"):
            assert seen["events_total", outcome, topic] == 0
    reasons = "empty too_large malformed invalid unsupported_currency unknown_plan_tier signup_conflict already_churned"
    for reason in [*reasons.split(), "churn_before_signup", "no_signup"]:
        assert seen["rejected_total", reason] == 0
    for cause in (
        "start",
        "fenced",
        "expired",
        "authorization",
        "configuration",
        "timeout",
        "unreachable",
        "kafka",
        "receipt",
        "store",
    ):
        assert seen["recover_total", cause] == 0
    for stage in ("decode", "apply", "commit", "upkeep", "publish"):
        assert seen["batch_seconds_count", stage] == 0
    for name in ("lost_arr_dollars_total", "unknown_industries_total", "event_age_seconds_count"):
        assert seen[name,] == 0


def test_each_decision_counts_for_the_topic_of_its_record(metrics: Metrics, store: DuckDBStore) -> None:
    count(metrics, store, cancellation(0), cancellation(1, BOB, "2026-01-01"))
    count(metrics, store, signup(0), signup(1), signup(2, BOB), signup(3, EVE, plan_tier='"platinum"'), record(None))
    count(metrics, store, signup(5))
    seen = scrape(metrics)
    assert {key: value for key, value in seen.items() if key[0] == "events_total"} == {
        ("events_total", "applied", SIGNUPS): 2,
        ("events_total", "duplicate", SIGNUPS): 2,
        ("events_total", "parked", SIGNUPS): 0,
        ("events_total", "rejected", SIGNUPS): 2,
        ("events_total", "applied", CANCELLATIONS): 1,  # parked before, and applied when the signup came
        ("events_total", "duplicate", CANCELLATIONS): 0,
        ("events_total", "parked", CANCELLATIONS): 2,
        ("events_total", "rejected", CANCELLATIONS): 1,
    }
    reasons = {key[1]: value for key, value in seen.items() if key[0] == "rejected_total" and value}
    assert reasons == {"unknown_plan_tier": 1, "empty": 1, "churn_before_signup": 1}
    assert seen["batch_records_sum",] == 8
    assert seen["batch_records_count",] == 3


def test_reread_records_are_taken_but_not_decided(metrics: Metrics, store: DuckDBStore) -> None:
    for _ in range(2):
        count(metrics, store, signup(0), cancellation(0), record(None, offset=1))
    seen = scrape(metrics)
    assert seen["batch_records_sum",] == 6
    assert seen["events_total", "applied", SIGNUPS] == 1
    assert seen["rejected_total", "empty"] == 1
    assert seen["lost_arr_dollars_total",] == 5988


def test_lost_revenue_is_added_up_in_cents_without_a_float(metrics: Metrics, store: DuckDBStore) -> None:
    ids = [f"00000000-0000-4000-8000-{number:012x}" for number in range(30)]
    third = '{"amount": "0.083333", "currency": "USD"}'  # 0.999996 a year: a dollar each
    large = '{"amount": "999999999999.99", "currency": "USD"}'
    signups = [signup(n, each, mrr=large if n == 0 else third) for n, each in enumerate(ids)]
    count(metrics, store, *signups, *(cancellation(n, each) for n, each in enumerate(ids)))
    assert metrics.lost_arr == Decimal("11999999999999.88") + 29
    assert scrape(metrics)["lost_arr_dollars_total",] == float(metrics.lost_arr)


def test_unknown_industries_are_counted(metrics: Metrics, store: DuckDBStore) -> None:
    count(metrics, store, signup(0, ADA, industry='"Beekeeping"'), signup(1, BOB, industry='"fintech"'))
    assert scrape(metrics)["unknown_industries_total",] == 1


def test_stages_and_receipt_reads_are_counted(metrics: Metrics) -> None:
    metrics.applied(1, BatchResult(), {Stage.DECODE: 0.002, Stage.COMMIT: 0.2})
    metrics.published(published(), 3.0)
    metrics.recovering(Cause.FENCED)
    seen = scrape(metrics)
    assert seen["batch_seconds_bucket", "0.0025", "decode"] == 1
    assert seen["batch_seconds_sum", "commit"] == 0.2
    assert seen["batch_seconds_sum", "publish"] == 3.0
    assert seen["recover_total", "fenced"] == 1


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ProducerFenced(), Cause.FENCED),
        (TimeoutError(), Cause.TIMEOUT),
        (RequestTimedOutError(), Cause.TIMEOUT),
        (OSError(), Cause.UNREACHABLE),
        (KafkaConnectionError(), Cause.UNREACHABLE),
        (Refusal("Kafka cannot be reached", Exit.UNREACHABLE), Cause.UNREACHABLE),
        (NotLeaderForPartitionError(), Cause.KAFKA),
        (ReceiptUnreadable(), Cause.RECEIPT),
        (StoreError(), Cause.STORE),
    ],
)
def test_recovery_has_a_known_cause(error: Exception, cause: Cause) -> None:
    assert cause_of(error) is cause


# How old events are


def buckets(ages: EventAges) -> dict[str, float]:
    return {sample.labels["le"]: sample.value for sample in ages.family("x", "").samples if sample.name == "x_bucket"}


def test_every_event_falls_into_its_bucket() -> None:
    ages = EventAges(CHURNED)
    for seconds in SECONDS:  # on each limit, and just beyond it
        ages.add(published(round((NOW - seconds) * 1000), round((NOW - seconds) * 1000) - 1), NOW)
    found = buckets(ages)
    assert [found[str(float(seconds))] for seconds in SECONDS] == [2 * n + 1 for n in range(len(SECONDS))]
    assert found["+Inf"] == 2 * len(SECONDS)
    (total,) = [sample.value for sample in ages.family("x", "").samples if sample.name == "x_sum"]
    assert total == pytest.approx(2 * sum(SECONDS) + 0.001 * len(SECONDS))


def test_event_age_needs_an_event_with_a_timestamp() -> None:
    ages = EventAges(CHURNED)
    ages.add([*published(-1), *published(0, topic="customer.signup-dlt")], NOW)
    assert set(buckets(ages).values()) == {0.0}


def test_event_from_the_future_has_age_zero() -> None:
    ages = EventAges(CHURNED)
    ages.add(published(round(NOW * 1000) + 60_000), NOW)
    assert set(buckets(ages).values()) == {1.0}
    assert ages.family("x", "").samples[-1].value == 0


def test_event_age_includes_the_parked_time(metrics: Metrics, store: DuckDBStore) -> None:
    sent_ms = int(time.time() * 1000) - 7_200_000
    apply(store, [record(cancellation().value, CANCELLATIONS, 0, timestamp=sent_ms)])
    apply(store, [signup(0)])
    metrics.published(store.pending(0, 10).messages, 0.1)  # from the store, as after a restart
    seen = scrape(metrics)
    assert seen["event_age_seconds_bucket", "3600.0"] == 0
    assert seen["event_age_seconds_bucket", "21600.0"] == 1
    assert 7_200 <= seen["event_age_seconds_sum",] < 7_260


def test_failed_attempts_are_counted(metrics: Metrics) -> None:
    assert scrape(metrics)["batch_failures_total",] == 0
    metrics.batch_failed()
    assert scrape(metrics)["batch_failures_total",] == 1


# What is looked up


def test_health_and_lag_are_exposed() -> None:
    now = datetime.now(UTC)
    store = StoreReading(
        {},
        Waiting(3, now - timedelta(hours=1), 2, now - timedelta(minutes=1)),
        AtStake(5, Decimal("5988.07"), now - timedelta(days=2)),
        4_096,
    )
    checks = [Check("poll", is_well=True, found=""), Check("store", is_well=False, found="")]
    place = (SIGNUPS, 3)
    reading = Reading(checks, {place: 70}, {place: 7}, store, {place: 2.5}, {SIGNUPS: True, CANCELLATIONS: False})
    seen = scrape(Metrics(Topics()), reading)
    assert seen["lag_records", "3", SIGNUPS] == 7
    assert seen["lag_seconds", "3", SIGNUPS] == 2.5
    assert (seen["input_readable", SIGNUPS], seen["input_readable", CANCELLATIONS]) == (1, 0)
    assert 172_800 <= seen["dead_letter_oldest_age_seconds",] < 172_860
    assert (seen["check_ok", "poll"], seen["check_ok", "store"]) == (1, 0)
    assert seen["parked",] == 3
    assert 3_600 <= seen["parked_oldest_age_seconds",] < 3_660
    assert seen["outbox_pending",] == 2
    assert 60 <= seen["outbox_oldest_age_seconds",] < 120
    assert seen["dead_letters",] == 5
    assert seen["dead_letter_arr_dollars",] == 5988.07
    assert seen["store_bytes",] == 4_096


def test_metrics_of_an_unreadable_store_are_omitted() -> None:
    assert ("parked",) not in scrape(Metrics(Topics()))
    assert ("events_total", "applied", SIGNUPS) in scrape(Metrics(Topics()))


def test_age_is_never_negative() -> None:
    now = datetime.now(UTC)
    assert age_seconds(None, now) == 0
    assert age_seconds(now + timedelta(hours=1), now) == 0


def test_exposition_format_is_negotiated(metrics: Metrics) -> None:
    content, kind = exposition(metrics, NOTHING, "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert content.endswith(b"# EOF\n")
    assert exposition(metrics, NOTHING, "text/html")[1].startswith("text/plain; version=0.0.4")


def test_metrics_name_no_customer(metrics: Metrics, store: DuckDBStore) -> None:
    count(metrics, store, signup(0), cancellation(0), cancellation(1, ADA, "2026-07-01"))
    metrics.published(store.pending(0, 10).messages, 0.1)
    assert ADA.encode() not in exposition(metrics, NOTHING, "")[0]


# FastStream's own


def polled(metrics: Metrics, *polls: Sequence[object]) -> Samples:
    middleware = poll_metrics(metrics.registry, Topics())

    async def taken(_: object) -> None:
        pass

    async def take() -> None:
        for poll in polls:
            message = KafkaMessage(body=poll, raw_message=tuple(poll), consumer=FAKE_CONSUMER)
            await middleware(poll, context=None).consume_scope(taken, message)  # type: ignore[arg-type]

    asyncio.run(take())
    return scrape(metrics)


def test_faststream_counts_polls_of_messages(metrics: Metrics) -> None:
    seen = polled(metrics, decoded(record(b"12345"), record(None)), decoded(record(b"123")))
    handler = ("customer-worker", "kafka", f"{SIGNUPS},{CANCELLATIONS}")
    assert seen["faststream_received_messages_total", *handler] == 3
    assert seen["faststream_received_messages_size_bytes_sum", *handler] == 8
    assert seen["faststream_received_messages_size_bytes_count", *handler] == 2
