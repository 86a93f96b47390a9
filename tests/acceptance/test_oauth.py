"""OAUTHBEARER on a real Kafka: tokens and sessions that last seconds are renewed, and failures name the remedy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.faults.play import patiently
from tests.support.kafka.oauth import SECRET, SESSION_SECONDS, OAuthKafka, oauth_kafka
from tests.support.kafka.secured import PASSWORD, USER, least_rights
from tests.support.stage import Stage
from tests.support.steady_load import load
from tests.support.worker_process import WorkerProcess, module_command, run_to_the_end
from worker.demo.real_broker import librdkafka_options

pytestmark = pytest.mark.timeout(240)
UNREACHABLE = 69
LOAD_SECONDS = 2.4 * SESSION_SECONDS


@pytest.fixture(scope="module")
def oauth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OAuthKafka]:
    """Yield a Kafka that ends sessions after `SESSION_SECONDS`, and its identity provider."""
    with oauth_kafka(tmp_path_factory.mktemp("oauth")) as kafka:
        yield kafka


@pytest.fixture
def stage(oauth: OAuthKafka, tmp_path: Path) -> Iterator[Stage]:
    """Yield a stage with topics and rights, whose worker authenticates by tokens."""
    stage = Stage(oauth.kafka, tmp_path)
    stage.create_topics()
    stage.settings |= oauth.settings
    outputs = (stage.topics.churned, *stage.topics.dead_letters)
    oauth.secured.allow(*least_rights(stage.topics.inputs, outputs, stage.group))
    patiently(stage.group_is_empty)  # a young broker has no coordinator yet
    yield stage
    oauth.provider.failure = None
    stage.close()


def by_endpoint(oauth: OAuthKafka, _: Path) -> dict[str, str]:
    return oauth.settings


def by_file(oauth: OAuthKafka, file: Path) -> dict[str, str]:
    replace_token(oauth, file)
    return oauth.sasl | {"KAFKA__OAUTH_TOKEN_FILE": str(file)}


def by_password(oauth: OAuthKafka, _: Path) -> dict[str, str]:
    mechanism = {"KAFKA__SASL_MECHANISM": "PLAIN", "KAFKA__SASL_USERNAME": USER, "KAFKA__SASL_PASSWORD": PASSWORD}
    return oauth.sasl | mechanism


def replace_token(oauth: OAuthKafka, file: Path) -> None:
    """Write a token as a kubelet does, by a file of another name."""
    new = file.with_suffix(".new")
    new.write_text(oauth.provider.token(2 * SESSION_SECONDS))
    new.rename(file)


def joined(stage: Stage) -> WorkerProcess:
    worker = stage.start()
    worker.wait_until(lambda: bool(worker.events("recovered")), "recovered")
    return worker


@pytest.mark.parametrize("settings", [by_endpoint, by_file, by_password], ids=["endpoint", "file", "password"])
def test_sessions_renewed_under_load_lose_nothing(
    oauth: OAuthKafka, stage: Stage, tmp_path: Path, settings: Callable[[OAuthKafka, Path], dict[str, str]]
) -> None:
    oauth.provider.lifetime, before = 2.0 * SESSION_SECONDS, oauth.provider.issued
    for name in oauth.settings:
        del stage.settings[name]
    stage.settings |= settings(oauth, tmp_path / "token")
    worker = joined(stage)
    load(stage, LOAD_SECONDS, lambda: replace_token(oauth, tmp_path / "token") if settings is by_file else None)
    stage.finish(worker)
    stage.require_as_expected()
    assert worker.errors() == []
    assert {line["event"] for line in worker.warnings()} == {"record rejected"}
    assert len(worker.events("recovered")) == 1  # publishing was never in doubt
    if settings is by_endpoint:
        assert 2 <= oauth.provider.issued - before <= LOAD_SECONDS  # shared by the clients, and renewed


def test_outage_of_the_identity_provider_loses_nothing(oauth: OAuthKafka, stage: Stage) -> None:
    oauth.provider.lifetime = 1.5 * SESSION_SECONDS
    worker = joined(stage)
    load(stage, SESSION_SECONDS)
    oauth.provider.failure = (503, SECRET.encode())
    worker.wait_until(lambda: bool(worker.events("Kafka connection lost")), "cut off")
    oauth.provider.failure = None
    worker.wait_until(lambda: bool(worker.events("Kafka connection restored")), "connected again")
    load(stage, SESSION_SECONDS)
    stage.finish(worker)
    stage.require_as_expected()
    assert f"the token endpoint {oauth.provider.url} failed (HTTP 503)" in worker.said()
    assert SECRET not in worker.said()
    assert "Traceback" not in worker.said()


def said_by(stage: Stage, *command: str, code: int) -> str:
    ended, said = run_to_the_end(module_command(*command), stage.settings, stage.directory)
    assert ended == code, said
    assert "Traceback" not in said
    assert SECRET not in said
    return said


def test_every_command_names_a_refused_client(oauth: OAuthKafka, stage: Stage) -> None:
    stage.settings["KAFKA__OAUTH_CLIENT_SECRET"] = "not the secret"
    wanted = f"the token endpoint {oauth.provider.url} refused a token for the client {USER} (HTTP 401, invalid_client)"
    for command, code in (("check", 1), ("run", UNREACHABLE), ("topics create", UNREACHABLE)):
        said = said_by(stage, *command.split(), code=code)
        assert wanted in said
        assert "OAUTH_CLIENT_SECRET" in said
        assert "not the secret" not in said


@pytest.mark.parametrize("claims", [{"aud": "another"}, {"exp": 1}], ids=["audience", "expired"])
def test_token_that_the_broker_refuses_is_named(
    oauth: OAuthKafka, stage: Stage, tmp_path: Path, claims: dict[str, object]
) -> None:
    token = oauth.provider.token(60, **claims)
    (tmp_path / "token").write_text(token)
    for name in oauth.settings:
        del stage.settings[name]
    stage.settings |= oauth.sasl | {"KAFKA__OAUTH_TOKEN_FILE": str(tmp_path / "token")}
    for command, code in (("check", 1), ("run", UNREACHABLE)):
        said = said_by(stage, command, code=code)
        assert f"does not accept the access token of the file {tmp_path / 'token'} (OAUTHBEARER: " in said
        assert "issuer, audience and scope" in said
        assert token not in said


def test_all_checks_pass_with_a_token(stage: Stage) -> None:
    found = json.loads(said_by(stage, "check", "--json", code=0))
    assert all(one["ok"] for one in found)
    rights = [one["found"] for one in found if one["name"].startswith("right ")]
    assert rights == ["granted"] * len(rights)


def test_client_of_the_demo_authenticates(stage: Stage) -> None:
    with stage.worker_settings() as settings:
        topics = AdminClient(librdkafka_options(settings.kafka)).list_topics(timeout=20).topics
    assert stage.topics.signup in topics
