"""FastStream's metrics for the polls of this worker, whose messages FastStream cannot read."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from faststream.message import StreamMessage
from faststream.prometheus import ConsumeAttrs, MetricsSettingsProvider
from faststream.prometheus.middleware import PrometheusMiddleware
from faststream.response import PublishCommand
from prometheus_client import CollectorRegistry
from typing_extensions import override

from worker.messages.message import Message
from worker.settings import Topics

PollMetrics = PrometheusMiddleware[Any, PublishCommand]


def poll_metrics(registry: CollectorRegistry, topics: Topics) -> PollMetrics:
    """Return the middleware that counts polls, their records and their bytes."""
    return PrometheusMiddleware(
        settings_provider_factory=lambda _: _Polls(",".join(topics.inputs)),
        registry=registry,
        app_name="customer-worker",
    )


class _Polls(MetricsSettingsProvider[Any, PublishCommand]):
    def __init__(self, handler: str) -> None:
        self.messaging_system = "kafka"
        self._handler = handler

    @override
    def get_consume_attrs_from_message(self, msg: StreamMessage[Any]) -> ConsumeAttrs:
        messages: Sequence[Message] = msg.raw_message
        size = sum(map(attrgetter("size"), messages))
        return {"destination_name": self._handler, "message_size": size, "messages_count": len(messages)}

    @override
    def get_publish_destination_name_from_cmd(self, cmd: PublishCommand) -> str:
        return cmd.destination
