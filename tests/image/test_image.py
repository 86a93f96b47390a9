"""The image: what is in it, and a container of it at work with a read-only root."""

from __future__ import annotations

import json
import re
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.containers.engine import Engine, find_engine
from tests.support.containers.image import STAND_IN_TAG, base_of_dockerfile, build_image, is_on_stand_in, megabytes
from tests.support.corpus import make_corpus
from tests.support.kafka.local import free_ports
from tests.support.stage import PARTITIONS, Stage
from tests.support.worker_process import PREFIX, WorkerProcess

pytestmark = pytest.mark.timeout(900)
MAX_MEGABYTES = 400
OFFICIAL_BASE_MEGABYTES = 124  # python:3.12-slim-trixie
USER = 10001
STOP_LIMIT_S = 10
ONCE = ("run", "--rm", "--no-healthcheck", "--read-only")
NEED_AN_EXTRA = ("worker.demo", "worker.kafka.msk_iam")
IMPORT_EVERYTHING = f"""\
import importlib, pkgutil, worker
names = [module.name for module in pkgutil.walk_packages(worker.__path__, "worker.")]
for name in names:
    if not name.startswith({NEED_AN_EXTRA}):
        importlib.import_module(name)
print(len(names))
"""


@pytest.fixture(scope="session")
def engine() -> Engine:
    return find_engine()


@pytest.fixture(scope="session")
def image(engine: Engine) -> str:
    return build_image(engine)


@pytest.fixture(scope="session")
def configuration(engine: Engine, image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(engine.run("image", "inspect", image))[0]["Config"]
    return found


@contextmanager
def container(engine: Engine, image: str, stage: Stage, *arguments: str, **settings: str) -> Iterator[str]:
    """Create a container that may write to its volume alone, on this machine's network; gives its name."""
    name = f"customer-worker-{uuid.uuid4().hex[:12]}"
    values = stage.settings | {"STORE__URL": "duckdb:////data/customers.duckdb", "LOG__FORMAT": "json"} | settings
    engine.run(
        *("create", "--name", name, "--network", "host", "--volume", f"{name}:/data"),
        *("--read-only", *(["--read-only-tmpfs=false"] if engine.is_podman else [])),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *environment_options(values),
        image,
        *arguments,
    )
    try:
        yield name
    finally:
        engine.run("rm", "--force", name)
        engine.run("volume", "rm", "--force", name)


def environment_options(settings: Mapping[str, str]) -> list[str]:
    return [option for name, value in settings.items() for option in ("--env", f"{PREFIX}{name}={value}")]


def started(engine: Engine, name: str, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> WorkerProcess:
    monkeypatch.setenv("CONTAINERS_CONF", engine.environment["CONTAINERS_CONF"])
    return stage.start([engine.name, "start", "--attach", name])


def python(engine: Engine, image: str, code: str) -> tuple[int, str]:
    return engine.ended(*ONCE, "--network", "none", "--entrypoint", "python", image, "-c", code)


def test_image_is_small(engine: Engine, image: str) -> None:
    size = megabytes(engine, image)
    if is_on_stand_in():
        size += OFFICIAL_BASE_MEGABYTES - megabytes(engine, STAND_IN_TAG)
    print(f"{size:.0f} MB")
    assert size < MAX_MEGABYTES


def test_image_runs_as_a_numeric_user_that_is_not_root(configuration: dict[str, Any]) -> None:
    assert configuration["User"] == f"{USER}:{USER}"


def test_image_is_labelled(configuration: dict[str, Any]) -> None:
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in configuration["Labels"].items()}
    assert labels["title"] == "customer-worker"
    assert labels["revision"] == "test"
    assert base_of_dockerfile().startswith(f"{labels['base.name']}@sha256:")
    assert re.fullmatch(r"\d+\.\d+\.\d+", labels["version"])


def test_version_of_the_image_is_that_of_the_worker(engine: Engine, image: str, configuration: dict[str, Any]) -> None:
    label = configuration["Labels"]["org.opencontainers.image.version"]
    assert engine.run(*ONCE, image, "--version") == label


@pytest.mark.parametrize("module", ["pip", "ensurepip", "setuptools", "hatchling", "confluent_kafka"])
def test_image_has_no_installer_and_no_demo_library(engine: Engine, image: str, module: str) -> None:
    code, output = python(engine, image, f"import {module}")
    assert code == 1
    assert f"No module named '{module}'" in output


def test_image_has_what_every_module_imports(engine: Engine, image: str) -> None:
    code, output = python(engine, image, IMPORT_EVERYTHING)
    assert code == 0, output
    assert int(output) > 100


def test_container_passes_the_main_job_with_a_read_only_root(
    engine: Engine, image: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = make_corpus(30_000, PARTITIONS)
    stage.create_topics()
    stage.produce(corpus.messages)
    [port] = free_ports(1)
    with container(engine, image, stage, HTTP__ENABLED="true", HTTP__PORT=str(port)) as name:
        worker = started(engine, name, stage, monkeypatch)
        stage.wait_until_consumed(worker)
        stage.wait_until_published(worker)
        assert engine.run("exec", name, *_health_command(engine, image)) == "/livez: 200"
        checks = _status(engine, name)["worker"]["checks"]
        assert [check for check in checks if not check["ok"]] == []
        assert engine.ended("exec", name, "customer-worker", "check")[0] == 0
        began = time.monotonic()
        worker.terminate()
        assert worker.wait() == 0, worker.tail()
        assert time.monotonic() - began < STOP_LIMIT_S
        engine.run("cp", f"{name}:/data/.", str(stage.directory))
    stage.require_as_expected()


def test_store_in_the_volume_is_found_by_the_next_container(
    engine: Engine, image: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = make_corpus(400, PARTITIONS, troubles=False).messages
    stage.create_topics()
    stage.produce(messages[:300])
    with container(engine, image, stage) as name:
        stage.finish(started(engine, name, stage, monkeypatch))
        stage.produce(messages[300:])
        stage.finish(started(engine, name, stage, monkeypatch))
        engine.run("cp", f"{name}:/data/.", str(stage.directory))
    stage.require_as_expected()
    second = stage.workers[-1]
    assert second.records_taken() == len(messages) - 300


@pytest.mark.parametrize("moment", [0.0, 0.1, 0.3, 0.6, 1.5])
def test_sigterm_stops_a_container_that_starts(engine: Engine, image: str, stage: Stage, moment: float) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent_kafka:
        address = f"127.0.0.1:{silent_kafka.getsockname()[1]}"
        with container(engine, image, stage, KAFKA__BOOTSTRAP_SERVERS=address) as name:
            engine.run("start", name)
            time.sleep(moment)  # the moments are what is tried: none of them may be too early
            began = time.monotonic()
            engine.run("kill", "--signal", "TERM", name)
            assert engine.run("wait", name, limit_s=60) == "0", engine.ended("logs", name)
            assert time.monotonic() - began < STOP_LIMIT_S


def test_health_of_a_container_that_serves_nothing_is_bad(engine: Engine, image: str) -> None:
    [port] = free_ports(1)
    program, *arguments = _health_command(engine, image)
    options = ["--env", f"{PREFIX}HTTP__PORT={port}", "--network", "host", "--entrypoint", program]
    code, output = engine.ended(*ONCE, *options, image, *arguments)
    assert code == 1
    assert "cannot be requested" in output


def test_volume_that_cannot_be_written_is_named(engine: Engine, image: str, stage: Stage) -> None:
    stage.create_topics()
    options = ["--network", "host", "--tmpfs", "/data:mode=0755"]
    code, output = engine.ended(*ONCE, *options, *environment_options(stage.settings), image, "run")
    assert code == 69, output
    assert "customers.duckdb" in output
    assert "Traceback" not in output


def test_postgres_client_is_complete(engine: Engine, image: str) -> None:
    code, output = engine.ended(
        *(*ONCE, "--network", "none"),
        *("--env", f"{PREFIX}STORE__URL=postgresql://worker@127.0.0.1:9/customers", image, "parked", "list"),
    )
    assert code == 69, output
    assert "refused" in output


def _health_command(engine: Engine, image: str) -> list[str]:
    [found] = json.loads(engine.run("image", "inspect", image))
    check = found.get("Healthcheck") or found["Config"]["Healthcheck"]  # Podman has it beside, Docker in `Config`
    kind, *command = check["Test"]
    assert kind == "CMD"
    return list(command)


def _status(engine: Engine, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(engine.run("exec", name, "customer-worker", "status", "--json"))
    return found
