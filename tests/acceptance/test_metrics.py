"""`/metrics` and the operations page of a real worker equal the oracle's result."""

from __future__ import annotations

import uuid
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.test_http import get, url_of
from tests.monitoring.promtool import require_firing, run_promtool
from tests.support.corpus import make_corpus
from tests.support.oracle import Expected
from tests.support.records import Message
from tests.support.spelling import quoted, signup
from tests.support.stage import PARTITIONS, Stage

pytestmark = pytest.mark.timeout(180)
SIGNUPS = 4_000


class Scraped:
    """One scrape of `/metrics`."""

    def __init__(self, url: str) -> None:
        status, self.text = get(f"{url}/metrics")
        assert status == 200
        families = text_string_to_metric_families(self.text)
        self._samples = [sample for family in families for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of all samples of that name with these labels, of which there has to be one."""
        found = [s.value for s in self._samples if s.name == name and labels.items() <= s.labels.items()]
        assert found, f"no {name} with {labels}"
        return sum(found)

    def by(self, name: str, *labels: str) -> Counter[tuple[str, ...]]:
        """Return the values of that name other than 0, by the values of these labels."""
        found: Counter[tuple[str, ...]] = Counter()
        for sample in self._samples:
            if sample.name == name and sample.value:
                found[tuple(sample.labels[label] for label in labels)] += int(sample.value)
        return found


def test_metrics_equal_the_oracle(stage: Stage, tmp_path: Path) -> None:
    corpus = make_corpus(SIGNUPS, PARTITIONS)
    stage.create_topics()
    worker = stage.start(HTTP__ENABLED="true", HTTP__PORT="0", LOG__FORMAT="json")
    url = url_of(worker)
    worker.wait_until(lambda: get(f"{url}/readyz")[0] == 200, "ready", 60)
    quiet = Scraped(url)
    stage.produce(corpus.early)
    stage.wait_until_consumed(worker)  # now they are surely parked
    stage.produce([*corpus.signups, *corpus.cancellations])
    stage.wait_until_consumed(worker)
    stage.wait_until_published(worker)
    wanted = stage.expected()
    worker.wait_until(lambda: Scraped(url).value("customer_worker_outbox_pending") == 0, "all marked", 30)
    letters = len(wanted.dead_letters)  # which are looked at now and then, for they can be many
    worker.wait_until(lambda: Scraped(url).value("customer_worker_dead_letters") == letters, "letters counted", 30)
    seen = Scraped(url)
    _require_counts(seen, wanted, stage)
    _require_no_customer(wanted, seen.text)
    assert run_promtool("check", "metrics", given=seen.text) == (0, "")
    require_firing(tmp_path, [quiet.text] * 3 + [seen.text] * 9, {})  # each reason is rarer than one in twenty

    _require_page(url, wanted)
    stage.produce([Message("signup", None, value) for value in _signups_of_an_unknown_tier(500)])
    stage.wait_until_consumed(worker)
    refused = Scraped(url)
    assert refused.value("customer_worker_rejected_total", reason="unknown_plan_tier") >= 500
    require_firing(tmp_path, [seen.text] * 3 + [refused.text] * 9, {"CustomerWorkerRejecting": 1})
    assert worker.stop() == 0


def _require_counts(seen: Scraped, wanted: Expected, stage: Stage) -> None:
    # A record that was parked has two decisions: parked, and what became of it. The oracle tells the last.
    decided = seen.by("customer_worker_events_total", "topic", "outcome")
    last = Counter((place[0], outcome) for place, (outcome, _) in wanted.outcomes.items())
    assert {key: count for key, count in decided.items() if key[1] != "parked"} == {
        key: count for key, count in last.items() if key[1] != "parked"
    }
    assert seen.value("customer_worker_parked") == len(wanted.parked)
    assert decided[stage.topics.cancellation, "parked"] > 0
    reasons = Counter((reason,) for _, reason in wanted.outcomes.values() if reason)
    assert seen.by("customer_worker_rejected_total", "reason") == reasons
    assert Decimal(str(seen.value("customer_worker_lost_arr_dollars_total"))) == wanted.lost_arr
    assert seen.value("customer_worker_event_age_seconds_count") == len(wanted.events)
    assert seen.value("customer_worker_event_age_seconds_bucket", le="300.0") == len(wanted.events)
    assert seen.value("customer_worker_batch_records_sum") == len(wanted.outcomes)
    assert seen.value("customer_worker_lag_records") == 0
    assert len(seen.by("customer_worker_check_ok", "check")) == 11
    assert seen.value("customer_worker_store_bytes") >= stage.store_file.stat().st_size
    assert seen.value("customer_worker_recover_total", cause="start") == 1
    assert seen.value("customer_worker_unknown_industries_total") > 0
    assert seen.value("faststream_received_messages_total") == len(wanted.outcomes)
    assert seen.value("process_resident_memory_bytes") > 0


def _require_page(url: str, wanted: Expected) -> None:
    status, page = get(url)
    assert status == 200
    _require_no_customer(wanted, page)
    assert "Unhealthy" not in page
    assert f"${wanted.lost_arr:,}" in page
    assert f"{len(wanted.parked):,}" in page
    assert "Refreshed every 10 s" in page
    assert "http-equiv" not in get(f"{url}/?refresh=off")[1]


def _signups_of_an_unknown_tier(count: int) -> list[bytes]:
    return [signup(str(uuid.uuid4()), plan_tier=quoted("platinum")) for _ in range(count)]


def _require_no_customer(wanted: Expected, text: str) -> None:
    named = [customer_id for customer_id in wanted.customers if customer_id in text]
    assert named == []


def test_lag_counts_records_but_no_transaction_markers(stage: Stage) -> None:
    stage.create_topics()
    worker = stage.start(HTTP__ENABLED="true", HTTP__PORT="0", LOG__FORMAT="json")
    url = url_of(worker)
    producer = Producer(
        {"bootstrap.servers": stage.kafka.bootstrap_servers, "transactional.id": f"{stage.name}-sender"}
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    for number in range(7):
        producer.produce(stage.topics.signup, b"%d" % number, partition=3)
    producer.flush(30)
    worker.wait_until(
        lambda: (
            get(f"{url}/readyz")[0] == 200
            and Scraped(url).value("customer_worker_lag_records", topic=stage.topics.signup, partition="3") == 7
        ),
        "shown as waiting",
        60,
    )
    producer.commit_transaction(30)
    worker.wait_until(lambda: Scraped(url).value("customer_worker_lag_records") == 0, "shown as read", 30)
    assert Scraped(url).value("customer_worker_events_total", topic=stage.topics.signup, outcome="rejected") == 7
