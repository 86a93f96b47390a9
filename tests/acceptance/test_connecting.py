"""A failed connection to Kafka is explained by its cause: the address, the step that failed, and what to do."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop
from pydantic import SecretStr

from tests.support.kafka.guarded import FAR_AWAY, PASSWORD, USER, GuardedKafka, guarded_kafka
from tests.support.kafka.local import free_ports
from tests.support.worker_process import module_command, run_to_the_end
from worker.errors import Exit, Refusal
from worker.kafka.clients import admin_client, partition_counts
from worker.settings import Kafka
from worker.stores.duckdb.store import DuckDBStore

pytestmark = pytest.mark.timeout(120)
UNREACHABLE = 69
REPRESENTATION = re.compile(r"AddressFamily|<\w|\w\(\)|\('|Error:|\[Errno|Traceback")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedKafka]:
    with guarded_kafka(tmp_path_factory.mktemp("certificates")) as kafka:
        yield kafka


def cause(**settings: object) -> str:
    """Return the message about a connection that fails; check that it says what to do and leaves out the password."""

    async def describe() -> None:
        async with admin_client(kafka) as admin:
            await partition_counts(admin, ["customer.signup"])

    kafka = Kafka.model_validate(settings)
    with pytest.raises(Refusal) as refused:
        uvloop.run(describe())
    assert refused.value.code is Exit.UNREACHABLE
    message = str(refused.value)
    assert not REPRESENTATION.search(message), message
    assert PASSWORD not in message
    assert re.search(r"\. (Set|Check|Renew|Use|Correct) ", message), message  # what to do
    return message


def sasl(server: str, mechanism: str = "PLAIN", password: str = PASSWORD, protocol: str = "SASL_PLAINTEXT") -> str:
    return cause(
        bootstrap_servers=server,
        security_protocol=protocol,
        sasl_mechanism=mechanism,
        sasl_username=USER,
        sasl_password=SecretStr(password),
    )


def tls(server: str, cafile: str | None = None, certfile: str | None = None) -> str:
    return cause(bootstrap_servers=server, security_protocol="SSL", ssl_cafile=cafile, ssl_certfile=certfile)


def test_right_settings_of_each_listener_connect(guarded: GuardedKafka) -> None:
    async def connect(**settings: object) -> None:
        async with admin_client(Kafka.model_validate(settings)) as admin:
            await partition_counts(admin, ["customer.signup"])

    uvloop.run(connect(bootstrap_servers=guarded.plaintext))
    for listener, certfile in (("TLS", None), ("MUTUAL", guarded.client)):
        trusted = {"security_protocol": "SSL", "ssl_cafile": guarded.authority, "ssl_certfile": certfile}
        uvloop.run(connect(bootstrap_servers=guarded.at(listener), **trusted))


def test_wrong_password_is_named(guarded: GuardedKafka) -> None:
    said = sasl(guarded.at("SASL"), password="not the password")
    assert f"{guarded.at('SASL')} does not accept the password of user {USER}" in said
    assert "not the password" not in said
    assert f"does not accept the password of user {USER}" in sasl(guarded.at("SASL"), "SCRAM-SHA-512")


def test_mechanism_that_is_not_enabled_is_named(guarded: GuardedKafka) -> None:
    said = sasl(guarded.at("SASL"), "SCRAM-SHA-256")
    assert "does not offer the SASL mechanism SCRAM-SHA-256; it offers" in said
    assert "SCRAM-SHA-512" in said


def test_sasl_without_settings_for_it_is_named(guarded: GuardedKafka) -> None:
    said = cause(bootstrap_servers=guarded.at("SASL"))
    assert f"{guarded.at('SASL')} requires SASL (" in said
    assert "the security protocol is PLAINTEXT" in said


def test_sasl_on_a_listener_without_it_is_named(guarded: GuardedKafka) -> None:
    assert f"{guarded.plaintext} has no SASL, but the security protocol is SASL_PLAINTEXT" in sasl(guarded.plaintext)


def test_tls_on_a_plaintext_port_is_named(guarded: GuardedKafka) -> None:
    assert f"{guarded.plaintext} has no TLS, but the security protocol is SSL" in tls(guarded.plaintext)


def test_plaintext_on_a_tls_port_is_named(guarded: GuardedKafka) -> None:
    for listener in ("TLS", "MUTUAL"):
        said = cause(bootstrap_servers=guarded.at(listener))
        assert f"{guarded.at(listener)} requires TLS, but the security protocol is PLAINTEXT" in said


def test_expired_certificate_is_named(guarded: GuardedKafka) -> None:
    said = tls(guarded.at("EXPIRED"), guarded.authority)
    assert f"the certificate of {guarded.at('EXPIRED')} has expired" in said


def test_host_name_mismatch_is_named(guarded: GuardedKafka) -> None:
    said = tls(guarded.at("TLS", "127.0.0.1"), guarded.authority)
    assert "is not for the host name 127.0.0.1" in said


def test_unknown_authority_is_named(guarded: GuardedKafka) -> None:
    said = tls(guarded.at("TLS"))
    assert f"the certificate of {guarded.at('TLS')} is not issued by a trusted authority" in said
    assert "SSL_CAFILE" in said


def test_missing_client_certificate_is_named(guarded: GuardedKafka) -> None:
    said = tls(guarded.at("MUTUAL"), guarded.authority)
    assert f"{guarded.at('MUTUAL')} requires a client certificate" in said


def test_client_certificate_of_another_authority_is_named(guarded: GuardedKafka) -> None:
    said = tls(guarded.at("MUTUAL"), guarded.authority, guarded.stranger)
    assert f"does not accept the client certificate {guarded.stranger}" in said


def test_advertised_listener_that_does_not_resolve_is_named(guarded: GuardedKafka) -> None:
    said = cause(bootstrap_servers=guarded.at("FAR"))
    assert f"advertises {FAR_AWAY}, and the host name of {FAR_AWAY} does not resolve" in said
    assert "advertised.listeners" in said


def test_each_bootstrap_address_is_named_with_its_cause() -> None:
    [closed] = free_ports(1)
    said = cause(bootstrap_servers=f"127.0.0.1:{closed}, kafka.invalid:9092")
    assert f"127.0.0.1:{closed} refuses connections" in said
    assert "the host name of kafka.invalid:9092 does not resolve" in said


def test_server_that_speaks_no_kafka_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        port = server.getsockname()[1]

        def answer_as_http() -> None:
            for _ in range(3):  # the client, its probe, and the probe for TLS
                connection, _ = server.accept()
                with connection:
                    connection.recv(1)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer_as_http)
        thread.start()
        said = cause(bootstrap_servers=f"127.0.0.1:{port}")
        thread.join(10)
    assert f"127.0.0.1:{port}: the server does not speak Kafka's protocol" in said


@pytest.mark.parametrize(
    "command",
    [
        ("run",),
        ("topics", "create"),
        ("check",),
        ("status",),
        ("reconcile", "--from", "2026-06-01", "--to", "2026-06-30"),
    ],
    ids=" ".join,
)
def test_every_command_names_the_cause(guarded: GuardedKafka, command: tuple[str, ...], tmp_path: Path) -> None:
    settings = {
        "KAFKA__BOOTSTRAP_SERVERS": guarded.at("EXPIRED"),
        "KAFKA__SECURITY_PROTOCOL": "SSL",
        "KAFKA__SSL_CAFILE": guarded.authority,
        "STORE__URL": "duckdb:///customers.duckdb",
        "HTTP__ENABLED": "false",
    }
    DuckDBStore(str(tmp_path / "customers.duckdb")).close()
    code, said = run_to_the_end(module_command(*command), settings, tmp_path)
    assert code == (1 if command == ("check",) else UNREACHABLE), said
    assert f"the certificate of {guarded.at('EXPIRED')} has expired" in said
    assert "Traceback" not in said
    assert "AddressFamily" not in said
