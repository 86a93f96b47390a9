"""deploy/kubernetes: what the overlays render is valid, restricted, and fits the worker."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import jsonschema
import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

from worker.cli.main import command_line
from worker.settings import PREFIX, Settings
from worker.signals import STOP_SECONDS

ROOT = Path(__file__).parents[2]
OVERLAYS = ROOT / "deploy" / "kubernetes" / "overlays"
NAMES = sorted(path.name for path in OVERLAYS.iterdir())
OLDEST_KUBERNETES = "1.29"
RENDERERS = (("kubectl", "kustomize"), ("kustomize", "build"))
SECRETS = {"ca.crt", "tls.crt", "tls.key"}
SLOW_START_SECONDS = 300

Manifest = dict[str, Any]

SERVICE_MONITOR = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "monitoring.coreos.com/v1"},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["selector", "endpoints"],
            "properties": {
                "selector": {"type": "object", "required": ["matchLabels"]},
                "endpoints": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {
                            "port": {"type": "string"},
                            "path": {"type": "string"},
                            "interval": {"type": "string", "pattern": r"^\d+(s|m)$"},
                            "scrapeTimeout": {"type": "string", "pattern": r"^\d+(s|m)$"},
                        },
                    },
                },
            },
        },
    },
}
"""The part of the operator's own schema that is used here."""


class Overlay(NamedTuple):
    """What an overlay renders."""

    name: str
    manifests: list[Manifest]

    def one(self, *kinds: str) -> Manifest:
        """Return the only object of these kinds."""
        [found] = [each for each in self.manifests if each["kind"] in kinds]
        return found

    @property
    def workload(self) -> Manifest:
        """The StatefulSet or the Deployment."""
        return self.one("StatefulSet", "Deployment")

    @property
    def template(self) -> Manifest:
        """Its template of a pod."""
        template: Manifest = self.workload["spec"]["template"]
        return template

    @property
    def pod(self) -> Manifest:
        """The specification of its pods."""
        pod: Manifest = self.template["spec"]
        return pod

    @property
    def container(self) -> Manifest:
        """The container of the worker."""
        [container] = self.pod["containers"]
        assert not self.pod.get("initContainers")
        found: Manifest = container
        return found

    @property
    def environment(self) -> dict[str, str]:
        """The settings of the worker."""
        [source] = self.container["envFrom"]
        config = self.one("ConfigMap")
        assert source == {"configMapRef": {"name": config["metadata"]["name"]}}
        data: dict[str, str] = config["data"]
        return data

    @property
    def mounts(self) -> dict[str, str]:
        """The volumes of the worker, by their paths."""
        return {mount["mountPath"]: mount["name"] for mount in self.container["volumeMounts"]}


@cache
def rendered(name: str) -> Overlay:
    """Render an overlay."""
    for program, command in RENDERERS:
        if shutil.which(program):
            done = subprocess.run(
                [program, command, str(OVERLAYS / name)], capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 0, done.stderr
            return Overlay(name, list(yaml.safe_load_all(done.stdout)))
    raise AssertionError("the manifests are rendered by kubectl or kustomize: install one of them")


@pytest.fixture(params=NAMES)
def overlay(request: pytest.FixtureRequest) -> Overlay:
    return rendered(request.param)


@pytest.fixture
def duckdb() -> Overlay:
    return rendered("duckdb")


@pytest.fixture
def postgres() -> Overlay:
    return rendered("postgres")


@pytest.fixture
def settings(overlay: Overlay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Read the settings as the worker does in its container; its secrets are files in a temporary directory."""
    for path in secret_paths(overlay):
        for name in SECRETS:
            file = tmp_path / path.lstrip("/") / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    for variable in [each for each in os.environ if each.startswith(PREFIX)]:
        monkeypatch.delenv(variable)
    for variable, value in overlay.environment.items():
        monkeypatch.setenv(variable, re.sub(r"/etc/customer-worker", f"{tmp_path}/etc/customer-worker", value))
    return Settings.read()


def secret_paths(overlay: Overlay) -> list[str]:
    """Return the paths under which secrets are mounted."""
    secrets = {volume["name"] for volume in overlay.pod["volumes"] if "secret" in volume}
    return [path for path, name in overlay.mounts.items() if name in secrets]


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return bool(selector) and selector.items() <= labels.items()


def open_ports(overlay: Overlay) -> set[int]:
    """Return the ports that a worker may connect to."""
    return {port["port"] for rule in overlay.one("NetworkPolicy")["spec"]["egress"] for port in rule["ports"]}


def files_named(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the files that the settings name, the parameters of a PostgreSQL URL among them."""
    for variable, value in environment.items():
        if variable.endswith("FILE"):
            yield value
        if variable == f"{PREFIX}STORE__URL":
            yield from (
                each for name, each in parse_qsl(urlsplit(value).query) if name.startswith("ssl") and "/" in each
            )


@pytest.mark.parametrize("version", [OLDEST_KUBERNETES, kubernetes_validate.latest_version()])
def test_manifests_fit_the_schemas_of_kubernetes(overlay: Overlay, version: str) -> None:
    for manifest in overlay.manifests:
        if manifest["kind"] != "ServiceMonitor":
            kubernetes_validate.validate(manifest, version, strict=True)


def test_service_monitor_fits_its_schema(overlay: Overlay) -> None:
    jsonschema.validate(overlay.one("ServiceMonitor"), SERVICE_MONITOR)


def test_everything_is_in_the_namespace(overlay: Overlay) -> None:
    namespace = overlay.one("Namespace")["metadata"]["name"]
    assert {each["metadata"]["namespace"] for each in overlay.manifests if each["kind"] != "Namespace"} == {namespace}


def test_namespace_enforces_restricted_pods(overlay: Overlay) -> None:
    assert overlay.one("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_pods_are_restricted(overlay: Overlay) -> None:
    """The Pod Security Standard `restricted`, and a read-only root."""
    pod, container = overlay.pod, overlay.container["securityContext"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["runAsGroup"] == image_user()
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}
    assert container["readOnlyRootFilesystem"] is True
    assert {kind for volume in pod["volumes"] for kind in volume if kind != "name"} <= {"secret", "emptyDir"}


def image_user() -> int:
    [user] = re.findall(r"^USER (\d+):\1$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    return int(user)


def test_pods_have_no_access_to_the_kubernetes_api(overlay: Overlay) -> None:
    assert overlay.pod["automountServiceAccountToken"] is False
    assert overlay.pod["serviceAccountName"] == overlay.one("ServiceAccount")["metadata"]["name"]


def test_settings_are_valid(settings: Settings) -> None:
    assert settings.http.host == "0.0.0.0"
    assert settings.kafka.security_protocol == "SSL"


def test_services_of_the_namespace_are_no_settings(overlay: Overlay) -> None:
    """Kubernetes would set CUSTOMER_WORKER_SERVICE_HOST, which the worker refuses as an unknown setting."""
    assert overlay.pod["enableServiceLinks"] is False


def test_secrets_are_files_that_the_worker_alone_reads(overlay: Overlay) -> None:
    directories = secret_paths(overlay)
    named = list(files_named(overlay.environment))
    assert len(named) >= 3
    for file in named:
        directory, _, name = file.rpartition("/")
        assert directory in directories
        assert name in SECRETS
    for volume in overlay.pod["volumes"]:
        assert volume.get("secret", {}).get("defaultMode", 0o440) == 0o440
    for mount in overlay.container["volumeMounts"]:
        assert mount.get("readOnly", False) is (mount["mountPath"] in directories)


def test_config_map_holds_no_secret(overlay: Overlay) -> None:
    assert not [name for name in overlay.environment if "PASSWORD" in name or "SECRET" in name or "TOKEN" in name]
    assert urlsplit(overlay.environment[f"{PREFIX}STORE__URL"]).password is None
    assert "env" not in overlay.container
    assert not [each for each in overlay.manifests if each["kind"] == "Secret"]


def test_command_is_one_of_the_command_line(overlay: Overlay) -> None:
    assert "command" not in overlay.container, "the entry point of the image blocks signals until they are handled"
    arguments = overlay.container["args"]
    assert CliRunner().invoke(command_line(arguments), [*arguments, "--help"]).exit_code == 0


def test_image_has_the_version_of_the_worker(overlay: Overlay) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert overlay.container["image"] == f"customer-worker:{version}"


def test_probes_request_health_where_the_worker_serves_it(overlay: Overlay, settings: Settings) -> None:
    [port] = overlay.container["ports"]
    assert port == {"name": "http", "containerPort": settings.http.port}
    paths = {name: overlay.container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    live, ready = {"path": "/livez", "port": "http"}, {"path": "/readyz", "port": "http"}
    assert paths == {"startup": live, "liveness": live, "readiness": ready}


def test_large_store_has_the_time_to_open(overlay: Overlay) -> None:
    probe = overlay.container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= SLOW_START_SECONDS


def test_worker_has_the_time_it_takes_to_stop(overlay: Overlay) -> None:
    assert overlay.pod["terminationGracePeriodSeconds"] >= 2 * STOP_SECONDS


def test_every_selector_selects_the_workers(overlay: Overlay) -> None:
    labels = overlay.template["metadata"]["labels"]
    service, policy = overlay.one("Service"), overlay.one("NetworkPolicy")
    assert selects(overlay.workload["spec"]["selector"]["matchLabels"], labels)
    assert selects(service["spec"]["selector"], labels)
    assert selects(policy["spec"]["podSelector"]["matchLabels"], labels)
    assert selects(overlay.one("ServiceMonitor")["spec"]["selector"]["matchLabels"], service["metadata"]["labels"])


def test_prometheus_scrapes_what_the_policy_lets_in(overlay: Overlay) -> None:
    [endpoint] = overlay.one("ServiceMonitor")["spec"]["endpoints"]
    [port] = overlay.one("Service")["spec"]["ports"]
    [rule] = overlay.one("NetworkPolicy")["spec"]["ingress"]
    assert (endpoint["port"], endpoint["path"]) == (port["name"], "/metrics")
    assert port["targetPort"] == overlay.container["ports"][0]["name"]
    assert [each["port"] for each in rule["ports"]] == [overlay.container["ports"][0]["name"]]
    assert rule["from"], "open to everybody"


def test_policy_lets_the_worker_reach_kafka_and_its_store(overlay: Overlay, settings: Settings) -> None:
    assert {int(each.rpartition(":")[2]) for each in settings.kafka.bootstrap_servers.split(",")} <= open_ports(overlay)
    assert {53} <= open_ports(overlay)
    if port := urlsplit(overlay.environment[f"{PREFIX}STORE__URL"]).port:
        assert port in open_ports(overlay)


def test_memory_is_limited(overlay: Overlay) -> None:
    resources = overlay.container["resources"]
    assert resources["requests"].keys() == {"cpu", "memory"}
    assert resources["limits"].keys() == {"memory"}


def test_duckdb_has_one_worker_and_its_store_on_a_volume(duckdb: Overlay) -> None:
    [claim] = duckdb.workload["spec"]["volumeClaimTemplates"]
    store = Path(urlsplit(duckdb.environment[f"{PREFIX}STORE__URL"]).path.removeprefix("/"))
    assert duckdb.workload["kind"] == "StatefulSet"
    assert duckdb.workload["spec"]["replicas"] == 1
    assert duckdb.mounts[str(store.parent)] == claim["metadata"]["name"]
    assert duckdb.workload["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain"
    assert duckdb.pod["securityContext"]["fsGroup"] == image_user()


def test_postgres_has_several_workers_on_several_nodes(postgres: Overlay) -> None:
    labels = postgres.template["metadata"]["labels"]
    budget = postgres.one("PodDisruptionBudget")["spec"]
    spread = postgres.pod["topologySpreadConstraints"]
    assert postgres.workload["kind"] == "Deployment"
    assert postgres.workload["spec"]["replicas"] > 1
    assert {each["topologyKey"] for each in spread} == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    assert all(selects(each["labelSelector"]["matchLabels"], labels) for each in spread)
    assert budget["maxUnavailable"] == 1
    assert selects(budget["selector"]["matchLabels"], labels)
