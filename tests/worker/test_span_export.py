"""A receiver that is down or frozen costs spans, no time, and one line of the log."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import Tracer
from structlog.testing import capture_logs

from tests.support.kafka.local import free_ports
from tests.support.otlp_receiver import receiving
from worker.tracing.export import CLOSE_SECONDS, Export

Lines = list[Any]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Export after 10 ms; a request may take 0.2 s."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")


@pytest.fixture
def lines() -> Iterator[Lines]:
    with capture_logs() as captured:
        yield captured


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Export to a receiver that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield


def tracer_of(export: Export) -> Tracer:
    return export.provider.get_tracer("test")


def end_span(export: Export) -> None:
    tracer_of(export).start_span("span").end()


def wait_for(lines: Lines, count: int) -> None:
    deadline = time.monotonic() + 20
    while len(lines) < count:
        assert time.monotonic() < deadline, lines
        time.sleep(0.01)


def test_failures_are_one_line_until_the_export_works_again(
    lines: Lines, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "4")  # time for a second attempt on a busy machine, too
    export = Export(["otlp_proto_http"])
    end_span(export)
    wait_for(lines, 1)
    end_span(export)
    assert export.provider.force_flush()
    with receiving(tmp_path, port) as receiver:
        end_span(export)
        wait_for(lines, 2)
        assert len(receiver.named("span")) == 1
        asyncio.run(export.close())
    failed, again = lines
    assert (failed["event"], failed["log_level"], failed["error"]) == (
        "spans not exported",
        "warning",
        "connection refused",
    )
    assert (again["event"], again["lost"]) == ("spans exported again", 2)


def test_refusal_of_the_receiver_is_named(lines: Lines, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with receiving(tmp_path) as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{receiver.url}/elsewhere")
        export = Export(["otlp_proto_http"])
        end_span(export)
        wait_for(lines, 1)
    assert "404" in lines[0]["error"]


def test_last_spans_are_exported_before_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    with receiving(tmp_path) as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        export = Export(["otlp_proto_http"])
        end_span(export)
        asyncio.run(export.close())
        assert len(receiver.named("span")) == 1


def test_frozen_receiver_delays_the_end_by_its_limit(
    frozen: None, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "5")
    export = Export(["otlp_proto_http"])
    end_span(export)
    began = time.monotonic()
    asyncio.run(export.close())
    assert time.monotonic() - began < CLOSE_SECONDS + 1
    assert [line["error"] for line in lines] == ["no answer within 1 s"]


def test_failing_export_does_not_delay_the_end(frozen: None, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.9")  # the next attempt would take as long
    export = Export(["otlp_proto_http"])
    end_span(export)
    wait_for(lines, 1)
    assert "timeout" in lines[0]["error"]
    end_span(export)
    began = time.monotonic()
    asyncio.run(export.close())
    assert time.monotonic() - began < CLOSE_SECONDS / 2


def test_spans_beyond_the_queue_are_dropped_in_silence(frozen: None, lines: Lines) -> None:
    export = Export(["otlp_proto_http"])
    began = time.monotonic()
    for _ in range(2_000):
        end_span(export)
    assert time.monotonic() - began < 5
    wait_for(lines, 1)
    assert len(lines) == 1
