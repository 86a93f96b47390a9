"""A real Kafka with a listener for each way in which a connection can fail, from Kafka's jars only."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.support.kafka.local import LOOPBACK, free_ports, local_kafka

USER = "worker"
PASSWORD = "worker-password"
NAMES = ("TLS", "MUTUAL", "EXPIRED", "SASL", "FAR")
FAR_AWAY = "broker-7.kafka.invalid:29092"

PROPERTIES = """\
listeners=PLAINTEXT://{host}:{{port}},CONTROLLER://{host}:{{controller_port}},{listeners}
advertised.listeners=PLAINTEXT://{host}:{{port}},{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,MUTUAL:SSL,EXPIRED:SSL,\
SASL:SASL_PLAINTEXT,FAR:PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location={valid}
ssl.truststore.type=PEM
ssl.truststore.location={authority}
listener.name.mutual.ssl.client.auth=required
listener.name.expired.ssl.keystore.type=PEM
listener.name.expired.ssl.keystore.location={expired}
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
  user_{user}="{password}";
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"""


class GuardedKafka:
    """The addresses of its listeners, and the files of its certificates."""

    def __init__(self, plaintext: str, ports: Mapping[str, int], directory: Path) -> None:
        self.plaintext = plaintext
        self._ports = ports
        self.authority = str(directory / "authority.pem")
        self.client = str(directory / "client.pem")
        self.stranger = str(directory / "stranger.pem")

    def at(self, listener: str, host: str = "localhost") -> str:
        """Return the address of a listener. The certificates are for `localhost`."""
        return f"{host}:{self._ports[listener]}"


@contextmanager
def guarded_kafka(directory: Path) -> Iterator[GuardedKafka]:
    """Run such a broker until the block ends; the certificates are put into the directory."""
    _issue_certificates(directory)
    ports = dict(zip(NAMES, free_ports(len(NAMES)), strict=True))
    advertised = {name: f"localhost:{port}" for name, port in ports.items()} | {"FAR": FAR_AWAY}
    properties = PROPERTIES.format(
        host=LOOPBACK,
        listeners=",".join(f"{name}://{LOOPBACK}:{port}" for name, port in ports.items()),
        advertised=",".join(f"{name}://{address}" for name, address in advertised.items()),
        valid=directory / "broker.pem",
        expired=directory / "expired.pem",
        authority=directory / "authority.pem",
        user=USER,
        password=PASSWORD,
    )
    with local_kafka(1, properties=properties) as kafka:
        yield GuardedKafka(kafka.bootstrap_servers, ports, directory)


def _issue_certificates(directory: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "authority.pem")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    _write(authority.issue_cert("localhost"), directory / "broker.pem")
    _write(authority.issue_cert("localhost", not_after=yesterday), directory / "expired.pem")
    _write(authority.issue_cert("worker.example"), directory / "client.pem")
    _write(trustme.CA().issue_cert("worker.example"), directory / "stranger.pem")


def _write(certificate: trustme.LeafCert, path: Path) -> None:
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    # Kafka reads a key in PKCS #8 only.
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(pem + b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
