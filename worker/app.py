"""The worker as a FastStream application.

`create` is the factory for FastStream's own command line (`faststream run worker.app:create --factory`); nothing
happens at import.
"""

from __future__ import annotations

import logging
import sys

from faststream import FastStream
from faststream.kafka import KafkaBroker

from worker.errors import Exit, Refusal
from worker.kafka import clients as kafka
from worker.kafka.security import broker_security
from worker.metrics.counters import Metrics
from worker.metrics.poll_metrics import poll_metrics
from worker.runtime.lifecycle import Worker
from worker.settings import Settings, SettingsError

METADATA_MAX_AGE_MS = 30_000
"""Maximum delay until a partition added to an input topic is found."""


def create() -> FastStream:
    """Create the application from the environment. Exits with 78 and one sentence per mistake in the settings."""
    try:
        return application(Settings.read())
    except (SettingsError, Refusal) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(error.code if isinstance(error, Refusal) else Exit.CONFIGURATION) from None


def application(settings: Settings) -> FastStream:
    """Create the application from these settings."""
    metrics = Metrics(settings.topics, settings.kafka.group_id)
    broker = KafkaBroker(
        kafka.client_options(settings.kafka)["bootstrap_servers"],
        **broker_security(settings.kafka),
        allow_auto_create_topics=False,
        metadata_max_age_ms=METADATA_MAX_AGE_MS,
        connections_max_idle_ms=kafka.CONNECTIONS_MAX_IDLE_MS,
        graceful_timeout=None,  # the worker waits for the batch in hand itself
        apply_types=False,
        middlewares=[poll_metrics(metrics.registry, settings.topics)],
        logger=logging.getLogger("faststream"),
    )
    return Worker(settings, broker, metrics).app
