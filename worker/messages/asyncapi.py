"""The contract as an AsyncAPI 3 document: servers, topics, keys, headers and values."""

from __future__ import annotations

import json

from worker import __version__
from worker.messages.asyncapi_messages import BINDING, Part, messages
from worker.messages.schemas import DEFINITIONS, MESSAGES, schema_id
from worker.settings import Kafka, Settings

_SECURITY_TYPES = {
    "PLAIN": "plain",
    "SCRAM-SHA-256": "scramSha256",
    "SCRAM-SHA-512": "scramSha512",
    "GSSAPI": "gssapi",
}


def asyncapi(settings: Settings) -> Part:
    """Return the document for the brokers and the topics of these settings."""
    topics, group = settings.topics, settings.kafka.group_id
    _, *dead_letters = topics.outputs
    document = {
        "asyncapi": "3.0.0",
        "id": "urn:customer-worker",
        "info": {
            "title": "customer-worker",
            "version": __version__,
            "description": "Applies customer signups and cancellations from Kafka and publishes customer.churned "
            "exactly once. The whole contract is docs/contract.md.",
        },
        "defaultContentType": "application/json",
        "servers": _servers(settings.kafka),
        "channels": {
            "signup": _input_channel("signup", topics.signup, "Signups of customers."),
            "cancellation": _input_channel("cancellation", topics.cancellation, "Cancellations, from billing."),
            "churned": _channel(
                topics.churned,
                "One event per churned customer, keyed by customer id, compacted. Requires "
                "isolation.level=read_committed. A record without a value erases the customer.",
                ["churned", "erased"],
                {"cleanup.policy": ["compact"]},
            ),
            "signupDeadLetters": _dead_letter_channel(dead_letters[0], topics.signup),
            "cancellationDeadLetters": _dead_letter_channel(dead_letters[1], topics.cancellation),
        },
        "operations": {
            "signup": _operation("receive", "signup", {"groupId": {"type": "string", "const": group}}),
            "cancellation": _operation("receive", "cancellation", {"groupId": {"type": "string", "const": group}}),
            "churned": _operation("send", "churned"),
            "signupDeadLetters": _operation("send", "signupDeadLetters"),
            "cancellationDeadLetters": _operation("send", "cancellationDeadLetters"),
        },
        "components": {"messages": messages(settings), "schemas": _schemas(), **_security_schemes(settings.kafka)},
    }
    return _with_references(document)


def _with_references(document: Part) -> Part:
    """Return the document with references to its own components instead of the definitions of a schema."""
    moved: Part = json.loads(json.dumps(document).replace('"#/$defs/', '"#/components/schemas/'))
    return moved


def _servers(kafka: Kafka) -> Part:
    is_encrypted = kafka.security_protocol.endswith("SSL")
    server: Part = {"protocol": "kafka-secure" if is_encrypted else "kafka"}
    if kafka.sasl_mechanism is not None:
        server["security"] = [{"$ref": "#/components/securitySchemes/sasl"}]
    hosts = kafka.bootstrap_servers.split(",")
    names = ["kafka", *(f"kafka{number}" for number in range(2, len(hosts) + 1))]
    return {name: {"host": host, **server} for name, host in zip(names, hosts, strict=True)}


def _security_schemes(kafka: Kafka) -> Part:
    if kafka.sasl_mechanism is None:
        return {}
    bearer = {"type": "http", "scheme": "bearer"}  # OAUTHBEARER: AsyncAPI has no type for a token without its flow
    known = _SECURITY_TYPES.get(kafka.sasl_mechanism)
    scheme = {"type": known} if known else bearer
    return {"securitySchemes": {"sasl": {**scheme, "description": f"SASL {kafka.sasl_mechanism}"}}}


def _channel(address: str, description: str, messages: list[str], configuration: Part | None = None) -> Part:
    return {
        "address": address,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "kafka": {
                "topic": address,
                **({"topicConfiguration": configuration} if configuration else {}),
                **BINDING,
            }
        },
    }


def _input_channel(name: str, address: str, description: str) -> Part:
    return _channel(address, description, [name, f"{name}Structured"])


def _dead_letter_channel(address: str, source: str) -> Part:
    return _channel(
        address,
        f"Rejected records of {source}, on the partition with the same number. Requires "
        "isolation.level=read_committed.",
        ["deadLetter"],
        {"cleanup.policy": ["delete"], "retention.ms": -1, "retention.bytes": -1},
    )


def _operation(action: str, channel: str, binding: Part | None = None) -> Part:
    bindings = {"bindings": {"kafka": {**binding, **BINDING}}} if binding else {}
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, **bindings}


def _schemas() -> Part:
    named = {schema["title"]: {**schema, "x-schema-id": schema_id(name)} for name, schema in MESSAGES.items()}
    return {**named, **DEFINITIONS}
