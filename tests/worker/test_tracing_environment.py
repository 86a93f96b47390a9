"""Tracing is off and not loaded unless OpenTelemetry's variables request it; mistakes in them do not stop a worker."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import capture_logs

from tests.support.builders import decoded, signup
from tests.support.processes import REPOSITORY
from tests.support.spans import RecordedTracing
from worker.logs import configuration as logs
from worker.logs.trace_fields import TRACE_FIELDS
from worker.settings import Log
from worker.tracing.environment import exporter_names, is_requested, start_tracing
from worker.tracing.opentelemetry_spans import OpenTelemetryTracing, current_ids
from worker.tracing.spans import Tracing

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    TRACE_FIELDS.current = None
    library = logging.getLogger("opentelemetry")
    library.handlers.clear()
    library.propagate = True


@pytest.mark.parametrize(
    ("variables", "requested"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "churn"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "True"}, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "false"}, True),
    ],
    ids=str,
)
def test_tracing_is_requested_by_exporter_or_endpoint(variables: dict[str, str], requested: bool) -> None:
    assert is_requested(variables) is requested


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({}, ["otlp_proto_http"]),
        ({"OTEL_TRACES_EXPORTER": "otlp, console"}, ["otlp_proto_http", "console"]),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ["otlp_proto_grpc"]),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
            ["otlp_proto_http"],
        ),
    ],
    ids=str,
)
def test_exporters_are_those_of_the_variables(variables: dict[str, str], names: list[str]) -> None:
    assert list(exporter_names(variables)) == names


def test_nothing_is_traced_by_default() -> None:
    assert type(start_tracing("group", {})) is Tracing


def test_opentelemetry_is_not_imported_by_default() -> None:
    code = (
        "import sys, worker.app, worker.runtime.http_service\n"
        "from worker.tracing.environment import start_tracing\n"
        "start_tracing('group', {})\n"
        "print({'opentelemetry.trace', 'opentelemetry.sdk', 'opentelemetry.exporter', 'requests'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_endpoint_starts_tracing() -> None:
    assert isinstance(start_tracing("group", ENDPOINT), OpenTelemetryTracing)


@pytest.mark.parametrize("module", ["opentelemetry.sdk.resources", "opentelemetry.trace"])
def test_missing_extra_is_a_warning(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("export", "opentelemetry_spans", "sender_contexts"):
        monkeypatch.delitem(sys.modules, f"worker.tracing.{name}", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with capture_logs() as lines:
        assert type(start_tracing("group", ENDPOINT)) is Tracing
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("tracing not started", "warning")
    assert "customer-worker[otel]" in line["advice"]


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "the exporter zipkin is not installed"),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/xml"}, "the exporter http/xml is not installed"),
    ],
    ids=str,
)
def test_unusable_variables_are_a_warning(variables: dict[str, str], reason: str) -> None:
    with capture_logs() as lines:
        assert type(start_tracing("group", variables)) is Tracing
    assert [line["reason"] for line in lines] == [reason]


@pytest.mark.parametrize(("variables", "name"), [({}, "customer-worker"), ({"OTEL_SERVICE_NAME": "churn"}, "churn")])
def test_service_is_named_by_the_environment(
    variables: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    tracing = RecordedTracing()
    with tracing.batch(decoded(signup(0))):
        pass
    resource = tracing.span.resource.attributes
    assert resource["service.name"] == name
    assert resource["service.version"]


def test_log_lines_have_the_ids_of_their_span(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Log(format="json"))
    TRACE_FIELDS.current = current_ids
    tracing = RecordedTracing()
    with tracing.batch(decoded(signup(0))):
        structlog.get_logger("worker").info("batch applied")
        logging.getLogger("aiokafka").error("fetch failed")
    structlog.get_logger("worker").info("stopped")
    context = tracing.span.get_span_context()
    assert context is not None
    inside, of_a_library, outside = map(json.loads, capsys.readouterr().err.splitlines())
    for line in (inside, of_a_library):
        assert (line["trace_id"], line["span_id"]) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    assert not {"trace_id", "span_id"} & outside.keys()
