"""A receiver of OTLP over HTTP, which decodes requests by the official protobuf definitions, and keeps the spans.

With TEST_OTEL_COLLECTOR, the path of an OpenTelemetry Collector, that program receives them and forwards them here.
"""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.kafka.local import free_ports

COLLECTOR = os.environ.get("TEST_OTEL_COLLECTOR")


@dataclass(frozen=True)
class ReceivedSpan:
    """A span with its attributes and those of its resource, in Python's types."""

    span: Span
    attributes: dict[str, Any]
    resource: dict[str, Any]
    schema_url: str

    @property
    def links(self) -> set[str]:
        """The linked contexts as `traceparent`. The protocol has the flags, which the SDK does not set."""
        return {f"00-{link.trace_id.hex()}-{link.span_id.hex()}-01" for link in self.span.links}


class Receiver:
    """What was received so far. `url` is the endpoint to export to."""

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        self.url = ""

    def named(self, name: str) -> list[ReceivedSpan]:
        """Return the spans of this name."""
        return [each for each in self.spans if each.span.name == name]

    def take(self, body: bytes) -> None:
        """Decode a request. Raises `google.protobuf.message.DecodeError`."""
        request = ExportTraceServiceRequest.FromString(body)
        self.spans += [
            ReceivedSpan(span, _values(span.attributes), _values(resource.resource.attributes), scope.schema_url)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: _value(each) for each in attributes}


def _value(attribute: KeyValue) -> Any:
    value: AnyValue = attribute.value
    return getattr(value, value.WhichOneof("value") or "string_value")


@contextmanager
def receiving(directory: Path, port: int = 0) -> Iterator[Receiver]:
    """Serve a receiver, on this port or on a free one."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path != "/v1/traces":
                self.send_error(404)
                return
            receiver.take(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ExitStack() as stack:
        server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", port), Handler))
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        stack.callback(serving.join)
        stack.callback(server.shutdown)
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        if COLLECTOR and not port:
            receiver.url = stack.enter_context(_collector(COLLECTOR, directory, receiver.url))
        yield receiver


@contextmanager
def _collector(program: str, directory: Path, target: str) -> Iterator[str]:
    """Run a Collector that forwards each request at once; yields its endpoint."""
    (port,) = free_ports(1)
    config = directory / "collector.yaml"
    config.write_text(
        json.dumps(
            {
                "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
                "exporters": {
                    "otlphttp": {
                        "endpoint": target,
                        "sending_queue": {"enabled": False},
                        "retry_on_failure": {"enabled": False},
                    }
                },
                "service": {
                    "telemetry": {"metrics": {"level": "none"}},
                    "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["otlphttp"]}},
                },
            }
        )
    )
    with (directory / "collector.log").open("wb") as log:
        running = subprocess.Popen([program, "--config", str(config)], stdout=log, stderr=log)
    try:
        _wait_for_port(port, running, directory / "collector.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(30)


def _wait_for_port(port: int, running: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and running.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"the Collector does not serve; it said:\n{log.read_text(errors='replace')}")
