"""Start of tracing, if the standard environment variables of OpenTelemetry request it.

OpenTelemetry is imported only then. The SDK reads its other variables itself: service name and resource, sampler,
limits of spans, batches of the export, headers, certificates.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import structlog

from worker.logs.exceptions import described
from worker.logs.trace_fields import TRACE_FIELDS
from worker.tracing.spans import Tracing

log = structlog.get_logger(__name__)

_OTLP = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc", "http/json": "otlp_json_http"}
"""Protocols of OTLP, and the names under which packages of OpenTelemetry offer an exporter for them."""
_TURN_OFF = "or set OTEL_SDK_DISABLED=true to trace nothing"


def start_tracing(group_id: str, environment: Mapping[str, str] = os.environ) -> Tracing:
    """Return the tracing that the environment requests.

    Variables for tracing are often set for all processes of a platform. If they cannot be followed, the worker runs
    without tracing and logs the reason.
    """
    TRACE_FIELDS.current = None
    if not is_requested(environment):
        return Tracing()
    try:
        from worker.tracing.export import Export  # noqa: PLC0415 - only if requested
        from worker.tracing.opentelemetry_spans import OpenTelemetryTracing, current_ids  # noqa: PLC0415

        tracing = OpenTelemetryTracing(Export(exporter_names(environment)), group_id)
        TRACE_FIELDS.current = current_ids
        return tracing
    except ImportError as error:
        advice = f"install the extra `otel` (pip install 'customer-worker[otel]'), {_TURN_OFF}"
        log.warning("tracing not started", reason=f"OpenTelemetry is not installed: {error}", advice=advice)
    except Exception as error:  # noqa: BLE001 - no mistake in the variables keeps a worker from its work
        log.warning("tracing not started", reason=described(error), advice=f"correct the OTEL_ variables, {_TURN_OFF}")
    return Tracing()


def is_requested(environment: Mapping[str, str]) -> bool:
    """Return whether the variables request traces: an exporter or an endpoint is set, and the SDK is not disabled.

    The specification exports to localhost if nothing is set. This does not: tracing is off by default.
    """
    if _value(environment, "OTEL_SDK_DISABLED").lower() == "true":
        return False
    if _value(environment, "OTEL_TRACES_EXPORTER"):
        return bool(list(exporter_names(environment)))
    return bool(
        _value(environment, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or _value(environment, "OTEL_EXPORTER_OTLP_ENDPOINT")
    )


def exporter_names(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the entry points of the requested exporters."""
    for name in (_value(environment, "OTEL_TRACES_EXPORTER") or "otlp").split(","):
        if (exporter := name.strip().lower()) == "otlp":
            yield _OTLP.get(_protocol(environment), _protocol(environment))
        elif exporter not in {"", "none"}:
            yield exporter


def _protocol(environment: Mapping[str, str]) -> str:
    return (
        _value(environment, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
        or _value(environment, "OTEL_EXPORTER_OTLP_PROTOCOL")
        or "http/protobuf"
    )


def _value(environment: Mapping[str, str], name: str) -> str:
    """Return the value of a variable; an empty one counts as not set."""
    return environment.get(name, "").strip()
