"""compose.yaml: pinned images, a read-only worker, ports on loopback only."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tests.support.kafka.container import IMAGE as TESTED_KAFKA
from worker.cli.main import command_line
from worker.settings import PREFIX, Settings
from worker.signals import STOP_SECONDS

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]

every_service = pytest.mark.parametrize("name", SERVICES)
every_service_of_ours = pytest.mark.parametrize("name", OURS)


def settings_of(name: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings as the service's own process reads them."""
    for variable in [each for each in os.environ if each.startswith(PREFIX)]:
        monkeypatch.delenv(variable)
    for variable, value in SERVICES[name]["environment"].items():
        monkeypatch.setenv(variable, str(value))
    return Settings.read()


def volumes_of(name: str) -> dict[str, str]:
    """Return the volumes of the service, by their paths in its container."""
    mounts = [mount.split(":") for mount in SERVICES[name].get("volumes", [])]
    return {target: source for source, target in mounts}


def test_services_are_kafka_topics_worker_and_ui() -> None:
    assert set(SERVICES) == {"kafka", "topics", "worker", "kafka-ui"}
    assert OURS == ["topics", "worker"]


def test_the_page_to_look_into_kafka_runs_only_when_asked_for() -> None:
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {"kafka-ui": ["ui"]}


def test_every_image_is_pinned() -> None:
    for service in SERVICES.values():
        assert re.fullmatch(r"[\w./-]+:(?!latest)[\w.-]+", service["image"])


def test_kafka_is_the_one_that_the_tests_run_against() -> None:
    assert SERVICES["kafka"]["image"] == TESTED_KAFKA


@every_service
def test_no_service_has_or_gains_a_privilege(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"cap_add", "devices", "ipc", "network_mode", "pid", "privileged", "user"} & set(service)


@every_service_of_ours
def test_worker_writes_to_its_volume_and_tmp_only(name: str) -> None:
    assert SERVICES[name]["read_only"] is True
    assert [mount.split(":")[0] for mount in SERVICES[name]["tmpfs"]] == ["/tmp"]


@every_service
def test_ports_are_published_on_loopback_alone(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


@every_service_of_ours
def test_each_variable_is_a_setting_and_its_value_is_valid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(variable.startswith(PREFIX) for variable in SERVICES[name]["environment"])
    settings_of(name, monkeypatch)


@every_service_of_ours
def test_the_worker_finds_kafka_where_kafka_says_it_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    advertised = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
    assert f"INSIDE://{settings_of(name, monkeypatch).kafka.bootstrap_servers}" in advertised


def test_the_host_finds_kafka_where_kafka_says_it_is() -> None:
    advertised = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
    assert [f"HOST://{port.rpartition(':')[0]}" for port in SERVICES["kafka"]["ports"]] == advertised[1:]


@every_service_of_ours
def test_each_command_is_one_of_the_command_line(name: str) -> None:
    arguments = [*SERVICES[name]["command"], "--help"]
    told = CliRunner().invoke(command_line(arguments), arguments)
    assert told.exit_code == 0
    assert "COMMAND" not in told.output  # a group of commands would ask for one


def test_the_store_is_on_a_volume(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Path(settings_of("worker", monkeypatch).store.path)
    assert volumes_of("worker") == {str(store.parent): "worker-data"}


def test_kafkas_records_are_on_a_volume() -> None:
    assert volumes_of("kafka") == {SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"]: "kafka-data"}


def test_every_volume_is_kept_under_a_name() -> None:
    assert set(COMPOSE["volumes"]) == {source for name in SERVICES for source in volumes_of(name).values()}


def test_kafka_creates_no_topics_by_itself() -> None:
    assert SERVICES["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_topics_are_created_after_kafka_and_before_the_worker() -> None:
    assert SERVICES["topics"]["restart"] == "no"
    assert SERVICES["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    assert SERVICES["worker"]["depends_on"]["topics"] == {"condition": "service_completed_successfully"}


def test_restarts_after_a_safety_stop_are_limited() -> None:
    assert re.fullmatch(r"on-failure:[1-5]", SERVICES["worker"]["restart"])


def test_the_worker_is_given_the_time_it_takes_to_stop() -> None:
    grace = re.fullmatch(r"(\d+)s", SERVICES["worker"]["stop_grace_period"])
    assert grace
    assert int(grace[1]) >= 2 * STOP_SECONDS


def test_the_page_is_published_where_the_worker_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    http = settings_of("worker", monkeypatch).http
    assert http.enabled
    assert SERVICES["worker"]["ports"] == [f"127.0.0.1:{http.port}:{http.port}"]


@every_service_of_ours
def test_the_image_is_built_from_the_dockerfile(name: str) -> None:
    assert SERVICES[name]["build"] == "."
    assert "healthcheck" not in SERVICES[name], "the image has one"
