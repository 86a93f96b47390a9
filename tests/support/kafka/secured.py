"""A real Kafka that asks for a password and checks rights: SASL/PLAIN on a listener of its own, `StandardAuthorizer`.

The plaintext listener is the administrator's: its clients may do everything. It runs from Kafka's jars only.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from tests.support.kafka.cluster import Kafka
from tests.support.kafka.local import LOOPBACK, free_ports, local_kafka

USER = "worker"
PASSWORD = "worker-password"

PROPERTIES = """\
listeners=PLAINTEXT://{host}:{{port}},CONTROLLER://{host}:{{controller_port}},SASL://{host}:{sasl_port}
advertised.listeners=PLAINTEXT://{host}:{{port}},SASL://{host}:{sasl_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
  user_{user}="{password}";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""

Right = tuple[ResourceType, str, AclOperation]
"""What may be done to which resource; a topic's or a group's name is taken literally."""

READ, WRITE, DESCRIBE, DESCRIBE_CONFIGS = (
    AclOperation.READ,
    AclOperation.WRITE,
    AclOperation.DESCRIBE,
    AclOperation.DESCRIBE_CONFIGS,
)
TOPIC, GROUP, TRANSACTIONAL_ID = ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID


class SecuredKafka:
    """One broker: `kafka` is the administrator's way in, `settings` are the worker's (without the prefix)."""

    def __init__(self, kafka: Kafka, sasl_port: int) -> None:
        self.kafka = kafka
        self.sasl_port = sasl_port
        self.settings = {
            "KAFKA__BOOTSTRAP_SERVERS": f"{LOOPBACK}:{sasl_port}",
            "KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA__SASL_MECHANISM": "PLAIN",
            "KAFKA__SASL_USERNAME": USER,
            "KAFKA__SASL_PASSWORD": PASSWORD,
        }
        self._admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})

    def allow(self, *rights: Right) -> None:
        """Give these rights to the worker's user."""
        for done in self._admin.create_acls([_binding(*right) for right in rights]).values():
            done.result(30)
        self._wait_until(lambda: all(map(self._is_granted, rights)))

    def revoke(self, *rights: Right) -> None:
        """Take these rights away again."""
        for done in self._admin.delete_acls([_filter(*right) for right in rights]).values():
            done.result(30)
        self._wait_until(lambda: not any(map(self._is_granted, rights)))

    def _is_granted(self, right: Right) -> bool:
        return bool(self._admin.describe_acls(_filter(*right)).result(30))

    def _wait_until(self, has_changed: Callable[[], bool]) -> None:
        """Wait until the broker applies what the controller has accepted."""
        Retrying(retry=retry_if_result(lambda is_done: not is_done), stop=stop_after_delay(30), wait=wait_fixed(0.05))(
            has_changed
        )


def least_rights(inputs: Sequence[str], outputs: Sequence[str], group: str) -> list[Right]:
    """All that the worker needs to run."""
    return [
        *((TOPIC, topic, READ) for topic in (*inputs, *outputs)),
        *((TOPIC, topic, WRITE) for topic in outputs),
        (GROUP, group, READ),
        (TRANSACTIONAL_ID, f"{group}-relay", WRITE),
    ]


@contextmanager
def secured_kafka(properties: str = "") -> Iterator[SecuredKafka]:
    """Run such a broker until the block ends; `properties` are further lines for its server.properties."""
    [sasl_port] = free_ports(1)
    secured = PROPERTIES.format(host=LOOPBACK, sasl_port=sasl_port, user=USER, password=PASSWORD)
    with local_kafka(1, properties=secured + properties) as kafka:
        yield SecuredKafka(kafka, sasl_port)


def _binding(kind: ResourceType, name: str, operation: AclOperation) -> AclBinding:
    principal = f"User:{USER}"
    return AclBinding(kind, name, ResourcePatternType.LITERAL, principal, "*", operation, AclPermissionType.ALLOW)


def _filter(kind: ResourceType, name: str, operation: AclOperation) -> AclBindingFilter:
    principal = f"User:{USER}"
    return AclBindingFilter(kind, name, ResourcePatternType.LITERAL, principal, "*", operation, AclPermissionType.ALLOW)
