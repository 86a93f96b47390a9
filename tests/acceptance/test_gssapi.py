"""GSSAPI on a real Kafka with a real KDC: tickets and sessions that last seconds are renewed, failures are named."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.play import patiently
from tests.support.kafka.kerberos import SESSION_SECONDS, KerberosKafka, kerberos_kafka
from tests.support.kafka.secured import USER, least_rights
from tests.support.kerberos.gssapi_library import gssapi_library
from tests.support.kerberos.realm import REALM
from tests.support.stage import Stage
from tests.support.steady_load import load
from tests.support.worker_process import WorkerProcess, run_to_the_end

pytestmark = pytest.mark.timeout(240)
UNREACHABLE = 69
TICKET_SECONDS = 6
SHORT = f"{USER}/short"  # the same user to Kafka
# Not from the fork server, which has loaded aiokafka without gssapi.
COMMAND = str(Path(sys.executable).with_name("customer-worker"))


@pytest.fixture(scope="module")
def kerberos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KerberosKafka]:
    """Yield a Kafka that ends sessions after `SESSION_SECONDS`."""
    with kerberos_kafka(tmp_path_factory.mktemp("kerberos")) as kafka:
        yield kafka


@pytest.fixture(scope="module")
def keytab(kerberos: KerberosKafka) -> Path:
    """Return the keytab of the worker."""
    return kerberos.realm.keytab(USER)


@pytest.fixture
def stage(kerberos: KerberosKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Yield a stage with topics and rights, whose worker uses the tickets in the file `tickets`."""
    monkeypatch.setenv("PYTHONPATH", str(gssapi_library()))
    monkeypatch.setenv("KRB5_CONFIG", kerberos.realm.environment["KRB5_CONFIG"])
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path / 'tickets'}")
    stage = Stage(kerberos.kafka, tmp_path)
    stage.create_topics()
    stage.settings |= kerberos.settings
    outputs = (stage.topics.churned, *stage.topics.dead_letters)
    kerberos.secured.allow(*least_rights(stage.topics.inputs, outputs, stage.group))
    patiently(stage.group_is_empty)  # a young broker has no coordinator yet
    yield stage
    stage.close()


def joined(stage: Stage) -> WorkerProcess:
    worker = stage.start([COMMAND, "run"])
    worker.wait_until(lambda: bool(worker.events("recovered")), "recovered")
    return worker


def test_tickets_from_a_keytab_are_renewed_under_load(
    kerberos: KerberosKafka, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRB5_CLIENT_KTNAME", f"FILE:{kerberos.realm.keytab(SHORT, TICKET_SECONDS)}")
    monkeypatch.setenv("KRB5CCNAME", "MEMORY:")
    worker = joined(stage)
    before = kerberos.realm.tickets_issued(SHORT)
    load(stage, 1.5 * SESSION_SECONDS)
    stage.finish(worker)
    stage.require_as_expected()
    assert worker.errors() == []
    assert {line["event"] for line in worker.warnings()} == {"record rejected"}
    assert len(worker.events("recovered")) == 1  # publishing was never in doubt
    assert kerberos.realm.tickets_issued(SHORT) - before >= 2


def test_expired_ticket_loses_nothing(kerberos: KerberosKafka, stage: Stage, tmp_path: Path, keytab: Path) -> None:
    kerberos.realm.obtain_ticket(keytab, USER, tmp_path / "tickets")
    worker = joined(stage)
    kerberos.realm.obtain_ticket(keytab, USER, tmp_path / "tickets", seconds=1)
    load(stage, 1)
    worker.wait_until(lambda: bool(worker.events("Kafka connection lost")), "cut off")
    load(stage, 1)
    kerberos.realm.obtain_ticket(keytab, USER, tmp_path / "tickets")
    worker.wait_until(lambda: bool(worker.events("Kafka connection restored")), "connected again")
    load(stage, 1)
    stage.finish(worker)
    stage.require_as_expected()
    assert "authentication failed: Ticket expired" in worker.said()
    assert "Traceback" not in worker.said()


def said_by(stage: Stage, command: str, code: int) -> str:
    ended, said = run_to_the_end([COMMAND, command], stage.settings, stage.directory)
    assert ended == code, said
    assert "Traceback" not in said
    return said


def test_failed_login_is_named(
    kerberos: KerberosKafka, stage: Stage, tmp_path: Path, keytab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = f"the Kerberos login at {kerberos.address} failed: "
    assert f"{failed}No Kerberos credentials available" in said_by(stage, "run", UNREACHABLE)

    tickets = tmp_path / "tickets"
    kerberos.realm.obtain_ticket(keytab, USER, tickets, seconds=1)
    kerberos.realm.wait_until_expired(tickets)
    for command, code in (("check", 1), ("run", UNREACHABLE)):
        said = said_by(stage, command, code)
        assert f"{failed}Ticket expired" in said
        assert "klist" in said

    monkeypatch.setenv("KRB5_CLIENT_KTNAME", f"FILE:{keytab}")
    tickets.unlink()
    stage.settings["KAFKA__SASL_KERBEROS_SERVICE_NAME"] = "mqtt"
    assert f"{failed}Server mqtt/localhost@{REALM} not found in Kerberos database" in said_by(stage, "run", UNREACHABLE)
