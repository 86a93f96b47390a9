"""Messages of the AsyncAPI document: key, headers, value and examples of each kind of record."""

from __future__ import annotations

from typing import Any

from worker.messages import message_headers as headers
from worker.messages.churned_event import churned_id
from worker.messages.schema_patterns import UUID, Schema
from worker.messages.schemas import MESSAGES
from worker.settings import Settings

Part = dict[str, Any]

BINDING = {"bindingVersion": "0.5.0"}
"""Version of the bindings for Kafka."""
_FRAMED = {"schemaIdLocation": "payload", "schemaIdPayloadEncoding": "confluent"}
_KEY: Schema = {**UUID, "description": "customer id, in lower case"}
_INPUT_KEY: Schema = {
    "description": "customer id, recommended: it keeps a customer's records in order. Any key is accepted"
}
_HEADER_CORRELATION = {"location": "$message.header#/ce_correlationid"}
_SIGNUP, _CANCELLATION, _CHURNED = (MESSAGES[name]["examples"][0] for name in MESSAGES)
_STRUCTURED = "application/cloudevents+json"
_CARRIED = ("time", "correlationid", "traceparent", "tracestate")


def messages(settings: Settings) -> Part:
    """Return each kind of record that the worker reads or writes."""
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
            key=_INPUT_KEY,
            framing=framing,
            correlationId=_HEADER_CORRELATION,
        ),
        f"{name}Structured": _message(
            f"{name}Structured",
            "A CloudEvent in structured mode.",
            headers.structured_headers(),
            _structured(payload),
            {"headers": headers.STRUCTURED_EXAMPLE, "payload": event},
            key=_INPUT_KEY,
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
        "bindings": {"kafka": {"key": key, **(framing or {}), **BINDING}},
        **({"examples": list(examples)} if examples else {}),
        **more,
    }
