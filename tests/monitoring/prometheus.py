"""A running Prometheus that scrapes one target."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.monitoring.promtool import program
from tests.support.kafka.local import free_ports

LIMIT_S = 30.0


class Prometheus:
    """A Prometheus at this address. It scrapes four times a second."""

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expression: str) -> Sequence[Any]:
        """Return the series that a query results in, or a scalar as one."""
        found: Sequence[Any] = self._get("query", query=expression)["result"]
        return found

    def values(self, label: str, selector: str) -> Sequence[str]:
        """Return the values of a label of these series."""
        found: Sequence[str] = self._get(f"label/{label}/values", **{"match[]": selector})
        return found

    def wait_for(self, expression: str) -> None:
        """Wait until a query results in something."""
        deadline = time.monotonic() + LIMIT_S
        while not self.query(expression):
            assert time.monotonic() < deadline, expression
            time.sleep(0.1)

    def _get(self, path: str, **parameters: str) -> Any:
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=LIMIT_S) as response:
            return json.load(response)["data"]


@contextmanager
def scraping(target: str, directory: Path) -> Iterator[Prometheus]:
    """Run Prometheus until the block ends; it scrapes the target, `host:port`."""
    config, log = directory / "prometheus.yaml", directory / "prometheus.log"
    jobs = [{"job_name": "customer-worker", "static_configs": [{"targets": [target]}]}]
    config.write_text(json.dumps({"global": {"scrape_interval": "250ms"}, "scrape_configs": jobs}))
    (port,) = free_ports(1)
    options = [f"--config.file={config}", f"--storage.tsdb.path={directory / 'tsdb'}"]
    with log.open("wb") as output:
        command = [program("prometheus"), *options, f"--web.listen-address=127.0.0.1:{port}"]
        running = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}/-/ready", running, log)
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        running.kill()
        running.wait(LIMIT_S)


def _wait_until_ready(url: str, running: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    while running.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=LIMIT_S).close()
        except urllib.error.URLError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"Prometheus is not ready; it said:\n{log.read_text(errors='replace')}")
