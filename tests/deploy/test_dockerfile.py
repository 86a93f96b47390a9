"""Dockerfile: pinned, hashed, and built from the files that it needs; and the health check of its containers."""

import http.server
import json
import re
import shlex
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from worker.signals import STOP_SIGNALS

ROOT = Path(__file__).parents[2]
DOCKERFILE = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text())
HEALTH_CHECK = ROOT / "deploy" / "image" / "healthcheck.py"
PREFIX = "CUSTOMER_WORKER_HTTP__"


def instructions(keyword: str) -> list[str]:
    """Return the arguments of each `keyword` of the Dockerfile."""
    return re.findall(rf"^{keyword} +(.+)$", DOCKERFILE, re.MULTILINE)


def test_base_is_pinned_by_digest() -> None:
    [base] = [argument for argument in instructions("ARG") if argument.startswith("BASE=")]
    assert re.fullmatch(r"BASE=[\w./-]+:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", base)
    assert [line.split()[0] for line in instructions("FROM")] == ["${BASE}", "${BASE}"]


def test_user_is_numeric_and_not_root() -> None:
    last_stage = DOCKERFILE.rpartition("FROM ")[2]
    assert re.findall(r"^USER (.+)$", last_stage, re.MULTILINE) == ["10001:10001"]


def test_packages_come_with_hashes() -> None:
    """Except the worker itself, which is built here without a download."""
    commands = [part for run in instructions("RUN") for part in run.split("&&")]
    packages = [part for part in commands if re.search(r"\bpip\b.*\b(install|wheel)\b", part)]
    assert len(packages) == 4
    for command in packages:
        hashed = "--require-hashes" in command and "--only-binary :all:" in command
        offline = "--no-deps" in command and ("--no-index" in command or "--no-build-isolation" in command)
        assert hashed or offline, command


def test_image_is_built_from_the_allowed_files_only() -> None:
    ignored, *let_in = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    copied = {source for copy in instructions("COPY") if "--from" not in copy for source in shlex.split(copy)[:-1]}
    assert ignored == "*"
    assert copied == {line.removeprefix("!") for line in let_in if line.startswith("!")}
    assert all((ROOT / source).exists() for source in copied)


def test_version_is_that_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"VERSION={version}" in instructions("ARG")


def test_entry_point_blocks_the_signals_that_stop_the_worker() -> None:
    [entry_point] = [json.loads(argument) for argument in instructions("ENTRYPOINT")]
    program, blocked, command = entry_point
    assert (program, command) == ("env", "customer-worker")
    names = blocked.removeprefix("--block-signal=").split(",")
    assert {f"SIG{name}" for name in names} == {number.name for number in STOP_SIGNALS}


def test_health_check_runs_the_tested_file() -> None:
    [check] = instructions("HEALTHCHECK")
    *_, file = json.loads(check.partition("CMD ")[2])
    assert f"--from=build /src/{HEALTH_CHECK.relative_to(ROOT)} {file}" in instructions("COPY")


class Livez(http.server.BaseHTTPRequestHandler):
    """Answers `/livez` with the status of its server."""

    def do_GET(self) -> None:
        self.send_response(self.server.status if self.path == "/livez" else HTTPStatus.NOT_FOUND)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[int]:
    """Serve `/livez`; yields the port."""
    with http.server.HTTPServer(("127.0.0.1", 0), Livez) as server:
        server.status = request.param  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def health(environment: Mapping[str, str]) -> tuple[int, str]:
    """Run the health check as the image does."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(HEALTH_CHECK)],
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize(("served", "code"), [(200, 0), (503, 1), (403, 1)], indirect=["served"])
@pytest.mark.parametrize("host", [None, "127.0.0.1", "0.0.0.0", "localhost"])
def test_health_is_that_of_livez(served: int, code: int, host: str | None) -> None:
    environment = {f"{PREFIX}PORT": str(served), "http_proxy": "http://127.0.0.1:9"}
    assert health(environment | ({f"{PREFIX}HOST": host} if host else {}))[0] == code


def test_health_of_a_worker_that_does_not_answer_is_bad() -> None:
    code, output = health({f"{PREFIX}PORT": "9"})
    assert code == 1
    assert "cannot be requested" in output


def test_worker_without_http_is_not_reported_as_unhealthy() -> None:
    assert health({f"{PREFIX}ENABLED": "False"}) == (0, "")
