"""Schemas of record headers: the CloudEvents attributes of inputs and events, the errors of dead letters."""

from __future__ import annotations

from worker.messages.carried_attributes import MAX_BYTES
from worker.messages.churned_event import DATASCHEMA, EVENT_TYPE
from worker.messages.cloudevents import STRUCTURED
from worker.messages.dead_letter import DEAD_LETTER_PREFIX
from worker.messages.rejection import Reason
from worker.messages.schema_patterns import DAY, MINUTE, SECONDS, UUID, Schema

_JSON = "application/json"
_EVENT_ID = "0c2e3a52-5f3b-4a53-8f5e-6f1d2b3c4d5e"
_CORRELATION_ID = "7d3c1a90-checkout"
_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
_TRACES: dict[str, Schema] = {
    "ce_correlationid": {"type": "string", "description": "correlation id of the business transaction"},
    "traceparent": {"type": "string", "description": "W3C Trace Context"},
    "tracestate": {"type": "string", "description": "W3C Trace Context"},
}


def input_headers() -> Schema:
    """Return the schema of an input's headers in CloudEvents binary mode. All are optional: bare JSON has none."""
    attributes = {
        "ce_specversion": "`1.0`",
        "ce_id": "`ce_causationid` of the event that the record causes",
        "ce_source": "not evaluated",
        "ce_type": "not evaluated",
        "ce_time": "RFC 3339; `ce_time` of the event that the record causes",
        "content-type": f"`{_JSON}`",
    }
    described: dict[str, Schema] = {name: {"type": "string", "description": text} for name, text in attributes.items()}
    return {"type": "object", "properties": described | _TRACES}


def structured_headers() -> Schema:
    """Return the schema of an input's headers in CloudEvents structured mode."""
    pattern = f"^{STRUCTURED.decode().replace('+', '[+]')}"
    return {
        "type": "object",
        "properties": {"content-type": {"type": "string", "pattern": pattern}},
        "required": ["content-type"],
    }


def event_headers(source: str) -> Schema:
    """Return the schema of the headers of `customer.churned`."""
    required: dict[str, Schema] = {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {**UUID, "format": "uuid", "description": "the same churn always has the same id"},
        "ce_source": {"type": "string", "const": source},
        "ce_type": {"type": "string", "const": EVENT_TYPE.decode()},
        "ce_time": {
            "type": "string",
            "format": "date-time",
            "pattern": f"^{DAY}T{MINUTE}{SECONDS}Z$",
            "description": "`ce_time` of the cancellation, in UTC; else the timestamp of its record",
        },
        "ce_subject": {**UUID, "format": "uuid", "description": "customer id"},
        "ce_dataschema": {"type": "string", "const": DATASCHEMA.decode()},
        "ce_causationid": {
            "type": "string",
            "description": "`ce_id` of the cancellation; else `topic/partition/offset` of its record",
        },
        "content-type": {"type": "string", "const": _JSON},
    }
    carried = {
        name: {**schema, "minLength": 1, "maxLength": MAX_BYTES, "description": "of the cancellation, if it has one"}
        for name, schema in _TRACES.items()
    }
    return {"type": "object", "properties": required | carried, "required": list(required)}


def dead_letter_headers() -> Schema:
    """Return the schema of the headers of a dead letter: those received, and these."""
    number: Schema = {"type": "string", "pattern": "^[0-9]+$"}
    required: dict[str, Schema] = {
        "topic": {"type": "string", "description": "topic of the rejected record"},
        "partition": number,
        "offset": number,
        "timestamp": {"type": "string", "pattern": "^-?[0-9]+$", "description": "milliseconds since 1970; -1: none"},
        "group": {"type": "string", "description": "consumer group of the worker"},
        "reason": {"type": "string", "description": f"{', '.join(Reason)}; a later version can add codes"},
        "message": {"type": "string", "description": "explanation for the sender; never quotes a value"},
        "app.version": {"type": "string", "description": "version of the worker"},
        "redrive.count": {**number, "description": "number of redrives so far"},
    }
    named = {DEAD_LETTER_PREFIX + name: schema for name, schema in required.items()}
    return {"type": "object", "properties": named, "required": list(named)}


INPUT_EXAMPLE = {
    "ce_specversion": "1.0",
    "ce_id": _EVENT_ID,
    "ce_source": "/billing",
    "ce_time": "2026-06-30T08:15:00Z",
    "ce_correlationid": _CORRELATION_ID,
    "traceparent": _TRACE,
    "content-type": _JSON,
}
STRUCTURED_EXAMPLE = {"content-type": STRUCTURED.decode()}


def event_example(source: str, customer_id: str, event_id: str) -> dict[str, str]:
    """Return example headers of the event that `INPUT_EXAMPLE` causes."""
    return {
        "ce_specversion": "1.0",
        "ce_id": event_id,
        "ce_source": source,
        "ce_type": EVENT_TYPE.decode(),
        "ce_time": INPUT_EXAMPLE["ce_time"],
        "ce_subject": customer_id,
        "ce_dataschema": DATASCHEMA.decode(),
        "ce_causationid": _EVENT_ID,
        "ce_correlationid": _CORRELATION_ID,
        "traceparent": _TRACE,
        "content-type": _JSON,
    }
