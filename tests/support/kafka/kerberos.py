"""A real Kafka that authenticates by Kerberos, with a realm of its own, and ends sessions in seconds.

Rights are checked as by `secured`. It runs from Kafka's jars only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.kafka.local import LOOPBACK, free_ports, local_kafka
from tests.support.kafka.secured import SecuredKafka
from tests.support.kerberos.realm import REALM, Realm, running_realm

SESSION_SECONDS = 8
HOST = "localhost"
SERVICE = f"kafka/{HOST}"

# The broker accepts logins by its keytab and needs no ticket of its own.
PROPERTIES = """\
listeners=PLAINTEXT://{loopback}:{{port}},CONTROLLER://{loopback}:{{controller_port}},SASL://{loopback}:{sasl_port}
advertised.listeners=PLAINTEXT://{loopback}:{{port}},SASL://{host}:{sasl_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT
sasl.enabled.mechanisms=GSSAPI
sasl.kerberos.service.name=kafka
listener.name.sasl.gssapi.sasl.jaas.config=com.sun.security.auth.module.Krb5LoginModule required \\
  useKeyTab=true storeKey=true isInitiator=false keyTab="{keytab}" principal="{principal}";
listener.name.sasl.gssapi.connections.max.reauth.ms={session_ms}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


class KerberosKafka:
    """The broker, its realm, and the worker's settings (without the prefix)."""

    def __init__(self, secured: SecuredKafka, realm: Realm) -> None:
        self.secured = secured
        self.kafka = secured.kafka
        self.realm = realm
        self.address = f"{HOST}:{secured.sasl_port}"
        self.settings = {
            "KAFKA__BOOTSTRAP_SERVERS": self.address,
            "KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA__SASL_MECHANISM": "GSSAPI",
        }


@contextmanager
def kerberos_kafka(directory: Path) -> Iterator[KerberosKafka]:
    """Run such a broker until the block ends; the realm's files are put into the directory."""
    with running_realm(directory) as realm:
        [sasl_port] = free_ports(1)
        properties = PROPERTIES.format(
            loopback=LOOPBACK,
            host=HOST,
            sasl_port=sasl_port,
            keytab=realm.keytab(SERVICE),
            principal=f"{SERVICE}@{REALM}",
            session_ms=SESSION_SECONDS * 1000,
        )
        java = [f"-Djava.security.krb5.conf={realm.krb5_conf}"]
        with local_kafka(1, properties=properties, java_options=java) as kafka:
            yield KerberosKafka(SecuredKafka(kafka, sasl_port), realm)
