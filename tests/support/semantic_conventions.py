"""OpenTelemetry's semantic conventions for messaging, as its package has them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from opentelemetry.semconv._incubating.attributes import messaging_attributes
from opentelemetry.semconv.attributes import error_attributes
from opentelemetry.trace import SpanKind

REQUIRED = {"messaging.operation.name", "messaging.system"}
KINDS = {"process": SpanKind.CONSUMER, "send": SpanKind.CLIENT}  # the context of the sender is in the records before
OURS = "customer_worker."


def require_conventions(kind: SpanKind, attributes: Mapping[str, Any]) -> None:
    """Raise `AssertionError` unless each attribute has an official name, and a well-known value if there are any."""
    names = {**_names(messaging_attributes), **_names(error_attributes)}
    for name, value in attributes.items():
        if not name.startswith(OURS):
            assert name in names, name
            well_known = _values(names[name])
            assert name == "error.type" or not well_known or value in well_known, (name, value)
    assert attributes.keys() >= REQUIRED
    assert attributes["messaging.system"] == "kafka"
    assert kind is KINDS[attributes["messaging.operation.type"]]


def _names(module: Any) -> dict[str, str]:
    """Return the constant of each attribute."""
    return {value: name for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}


def _values(constant: str) -> set[str]:
    """Return the well-known values of an attribute, none if it takes any."""
    name = "".join(part.capitalize() for part in constant.split("_")) + "Values"
    found = getattr(messaging_attributes, name, None)
    return {str(each.value) for each in found} if isinstance(found, type(Enum)) else set()
