"""The contract as an AsyncAPI 3 document: servers, topics, keys, headers and values."""

from __future__ import annotations

import json
from typing import Any

from worker import __version__
from worker.messages import message_headers as headers
from worker.messages.churned_event import churned_id
from worker.messages.schema_patterns import UUID, Schema
from worker.messages.schemas import DEFINITIONS, MESSAGES, schema_id
from worker.settings import Kafka, Settings

_BINDING = {"bindingVersion": "0.5.0"}
_FRAMED = {"schemaIdLocation": "payload", "schemaIdPayloadEncoding": "confluent"}
_KEY: Schema = {**UUID, "description": "customer id; for inputs recommended, not required: the value decides"}
_HEADER_CORRELATION = {"location": "$message.header#/ce_correlationid"}
_SIGNUP, _CANCELLATION, _CHURNED = (MESSAGES[name]["examples"][0] for name in MESSAGES)
_STRUCTURED = "application/cloudevents+json"
_CARRIED = ("time", "correlationid", "traceparent", "tracestate")
_SECURITY_TYPES = {
    "PLAIN": "plain",
    "SCRAM-SHA-256": "scramSha256",
    "SCRAM-SHA-512": "scramSha512",
    "GSSAPI": "gssapi",
}

Part = dict[str, Any]


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
        "components": {"messages": _messages(settings), "schemas": _schemas(), **_security_schemes(settings.kafka)},
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
                **_BINDING,
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
    bindings = {"bindings": {"kafka": {**binding, **_BINDING}}} if binding else {}
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, **bindings}


def _schemas() -> Part:
    named = {schema["title"]: {**schema, "x-schema-id": schema_id(name)} for name, schema in MESSAGES.items()}
    return {**named, **DEFINITIONS}


def _messages(settings: Settings) -> Part:
    source, customer_id = settings.events.source, _CHURNED["customer_id"]
    framing = _FRAMED if settings.schema_registry.accept_framed else {}
    return {
        **_input_messages("signup", "SignupMessage", _SIGNUP, framing),
        **_input_messages("cancellation", "CancellationMessage", _CANCELLATION, framing),
        "churned": _message(
            "churned",
            "A customer churned.",
            headers.event_headers(source),
            {"$ref": "#/components/schemas/ChurnedMessage"},
            {
                "headers": headers.event_example(source, customer_id, churned_id(customer_id)),
                "payload": _CHURNED,
            },
            correlationId=_HEADER_CORRELATION,
        ),
        "erased": _message(
            "erased",
            "A tombstone: an operator erased the customer. Delete the data you hold about this customer.",
            {"type": "object"},
            {"type": "null"},
        ),
        "deadLetter": _message(
            "deadLetter",
            "A rejected record: key, value and headers byte for byte as received, and the reason.",
            headers.dead_letter_headers(),
            {"description": "the value as received; it need not be JSON"},
            key={"description": "the key as received"},
            contentType="application/octet-stream",
        ),
    }


def _input_messages(name: str, schema: str, example: Part, framing: Part) -> Part:
    """Return the message in both content modes."""
    payload = {"$ref": f"#/components/schemas/{schema}"}
    event = {"specversion": "1.0", "id": "1", "source": "/billing", "type": f"customer.{name}", "data": example}
    return {
        name: _message(
            name,
            "JSON, alone or with CloudEvents attributes as headers (binary mode).",
            headers.input_headers(),
            payload,
            {"headers": {**headers.INPUT_EXAMPLE, "ce_type": f"customer.{name}"}, "payload": example},
            {"payload": example},
            framing=framing,
            correlationId=_HEADER_CORRELATION,
        ),
        f"{name}Structured": _message(
            f"{name}Structured",
            "A CloudEvent in structured mode.",
            headers.structured_headers(),
            _structured(payload),
            {"headers": headers.STRUCTURED_EXAMPLE, "payload": event},
            framing=framing,
            contentType=_STRUCTURED,
            correlationId={"location": "$message.payload#/correlationid"},
        ),
    }


def _structured(data: Schema) -> Schema:
    text: Schema = {"type": "string", "minLength": 1}
    return {
        "type": "object",
        "properties": {
            "specversion": {"type": "string", "const": "1.0"},
            "id": text,
            "source": text,
            "type": text,
            **{name: {"description": "as the header of the same name in binary mode"} for name in _CARRIED},
            "data": data,
            "data_base64": {"type": "string", "description": "the data as Base64, instead of `data`"},
        },
        "required": ["specversion", "id", "source", "type"],
        "anyOf": [{"required": ["data"]}, {"required": ["data_base64"]}],
    }


def _message(
    name: str,
    summary: str,
    header_schema: Schema,
    payload: Schema,
    *examples: Part,
    key: Schema = _KEY,
    framing: Part | None = None,
    **more: object,
) -> Part:
    return {
        "name": name,
        "title": name,
        "summary": summary,
        "headers": header_schema,
        "payload": payload,
        "bindings": {"kafka": {"key": key, **(framing or {}), **_BINDING}},
        **({"examples": list(examples)} if examples else {}),
        **more,
    }
