"""Every query of the dashboard has an answer in a Prometheus that scrapes a real worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.test_http import get, url_of
from tests.monitoring.prometheus import scraping
from tests.monitoring.queries import interpolated
from tests.support.builders import cancellation_value, customer_id, signup_value
from tests.support.records import Message
from tests.support.stage import Stage
from worker.monitoring.dashboard import dashboard

pytestmark = pytest.mark.timeout(180)
CUSTOMERS = 50
FILTER = " > 0"
"""Of queries that show only what happens: the series exist without it."""


def messages() -> list[Message]:
    """Return records with every outcome but a duplicate."""
    ids = [customer_id(number) for number in range(CUSTOMERS)]
    return [
        *(Message("signup", who.encode(), signup_value(who)) for who in ids),
        *(Message("cancellation", who.encode(), cancellation_value(who)) for who in ids),
        Message("signup", None, b"no JSON"),
        Message("cancellation", None, cancellation_value(customer_id(CUSTOMERS))),
    ]


def test_every_query_has_an_answer(stage: Stage, tmp_path: Path) -> None:
    stage.create_topics()
    worker = stage.start(HTTP__ENABLED="true", HTTP__PORT="0", LOG__FORMAT="json")
    url = url_of(worker)
    worker.wait_until(lambda: get(f"{url}/readyz")[0] == 200, "ready", 60)
    with scraping(url.removeprefix("http://"), tmp_path) as prometheus:
        prometheus.wait_for("customer_worker_info")
        stage.produce(messages())
        stage.wait_until_consumed(worker)
        stage.wait_until_published(worker)
        prometheus.wait_for("rate(customer_worker_event_age_seconds_count[1m]) > 0")
        prometheus.wait_for("customer_worker_dead_letters == 1")
        prometheus.wait_for('customer_worker_kafka_last_success_timestamp_seconds{operation="commit_offsets"}')
        shown = dashboard()
        panels = {panel["title"]: panel.get("targets", []) for panel in shown["panels"]}
        queries = {target["expr"]: title for title, targets in panels.items() for target in targets}
        unanswered = {
            title: query
            for query, title in queries.items()
            if not prometheus.query(interpolated(query.removesuffix(FILTER)))
        }
        assert unanswered == {}
        assert prometheus.values("group", 'customer_worker_info{job=~"customer-worker"}') == [stage.group]
        of_group = f'customer_worker_info{{job=~"customer-worker",group=~"{stage.group}"}}'
        assert prometheus.values("instance", of_group) == [url.removeprefix("http://")]
