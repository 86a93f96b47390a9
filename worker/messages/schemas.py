"""JSON Schemas (2020-12) of the messages. `inbound` is authoritative.

tests/worker/test_contract.py holds the two together: the schemas of inputs accept what the worker accepts, except for
the differences that their descriptions state.
"""

from __future__ import annotations

from domain.customer import Industry, PlanTier
from worker.messages.schema_patterns import (
    DAY,
    TEXT,
    UUID,
    Schema,
    amount_schema,
    any_case,
    date_schema,
    outside_the_calendar_schema,
)
from worker.messages.validation import MAX_REASON_CHARACTERS

_CUSTOMER = "6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a77"
_DOLLARS = "An amount in US dollars"

DEFINITIONS: dict[str, Schema] = {
    "CustomerId": {**UUID, "description": "a UUID; letter case does not count"},
    "Date": {
        **date_schema({"$ref": "#/$defs/OutsideTheCalendar"}),
        "description": "YYYY-MM-DD, or an RFC 3339 date-time, taken as its date in UTC; a leap second is valid",
    },
    "Amount": {
        **amount_schema(),
        "description": "not negative, below 10^12; more than 6 decimals are rounded half up",
    },
    "Text": {**TEXT, "description": "Unicode text: no lone surrogates"},
    "Json": {
        "description": "JSON of any form, whose text is Unicode",
        "anyOf": [
            {"type": ["null", "boolean", "number"]},
            {"$ref": "#/$defs/Text"},
            {"type": "array", "items": {"$ref": "#/$defs/Json"}},
            {
                "type": "object",
                "propertyNames": {"$ref": "#/$defs/Text"},
                "additionalProperties": {"$ref": "#/$defs/Json"},
            },
        ],
    },
    "Money": {
        "title": "Money",
        "description": _DOLLARS,
        "type": "object",
        "properties": {
            "amount": {"$ref": "#/$defs/Amount"},
            "currency": {"type": "string", "const": "USD"},
        },
        "required": ["amount", "currency"],
        "propertyNames": {"$ref": "#/$defs/Text"},
        "additionalProperties": {"$ref": "#/$defs/Json"},
    },
    "ChurnedMoney": {
        "title": "ChurnedMoney",
        "description": f"{_DOLLARS}, as text: with two decimals, and more only if it has them",
        "type": "object",
        "properties": {
            "amount": {"type": "string", "pattern": "^[0-9]+\\.[0-9]{2,6}$"},
            "currency": {"type": "string", "const": "USD"},
        },
        "required": ["amount", "currency"],
    },
    "ChurnedDate": {"type": "string", "format": "date", "pattern": f"^{DAY}$"},
    "OutsideTheCalendar": {
        **outside_the_calendar_schema(),
        "description": "date-times on 0001-01-01 or 9999-12-31 whose date in UTC is outside the calendar",
    },
}
"""Schemas that several messages use."""


def _ref(definition: str, description: str | None = None) -> Schema:
    return {"$ref": f"#/$defs/{definition}"} | ({"description": description} if description else {})


def _input(title: str, description: str, properties: dict[str, Schema], required: list[str], example: Schema) -> Schema:
    return {
        "title": title,
        "description": f"{description} Unknown fields are ignored. A value larger than the worker's limit (64 KiB by "
        "default) or nested too deep is rejected, which no schema can express.",
        "type": "object",
        "properties": properties,
        "required": required,
        "propertyNames": _ref("Text"),
        "additionalProperties": _ref("Json"),
        "examples": [example],
    }


_SIGNUP = _input(
    "SignupMessage",
    "A customer signed up.",
    {
        "customer_id": _ref("CustomerId"),
        "industry": _ref("Text", f"{', '.join(Industry)}, in any letter case; any other name counts as Other"),
        "plan_tier": {
            "type": "string",
            "description": f"{', '.join(PlanTier)}, in any letter case",
            "anyOf": [any_case(tier) for tier in PlanTier],
        },
        "signup_date": _ref("Date"),
        "mrr": {
            "description": "monthly recurring revenue; an amount without a currency is in USD",
            "anyOf": [_ref("Money"), _ref("Amount")],
        },
    },
    ["customer_id", "industry", "plan_tier", "signup_date", "mrr"],
    {
        "customer_id": _CUSTOMER,
        "industry": "FinTech",
        "plan_tier": "growth",
        "signup_date": "2026-01-15",
        "mrr": {"amount": "499.00", "currency": "USD"},
    },
)

_CANCELLATION = _input(
    "CancellationMessage",
    "A customer cancelled.",
    {
        "customer_id": _ref("CustomerId"),
        "cancellation_date": _ref("Date"),
        "reason": {
            "description": "copied to the event",
            "anyOf": [{**TEXT, "maxLength": MAX_REASON_CHARACTERS}, {"type": "null"}],
        },
    },
    ["customer_id", "cancellation_date"],
    {"customer_id": _CUSTOMER, "cancellation_date": "2026-06-30", "reason": "too_expensive"},
)

_CHURNED = {
    "title": "ChurnedMessage",
    "description": "A customer churned. One event per customer. A later version can add fields.",
    "type": "object",
    "properties": {
        "customer_id": {**UUID, "format": "uuid", "description": "in lower case"},
        "signup_date": _ref("ChurnedDate"),
        "churn_date": _ref("ChurnedDate"),
        "tenure_days": {"type": "integer", "minimum": 0, "description": "days from signup to churn"},
        "is_early_stage": {"type": "boolean", "description": "true up to and including day 90"},
        "industry": {"type": "string", "description": f"{', '.join(Industry)}; a later version can add names"},
        "plan_tier": {"type": "string", "description": f"{', '.join(PlanTier)}; a later version can add names"},
        "mrr": _ref("ChurnedMoney", "monthly recurring revenue"),
        "lost_arr": _ref("ChurnedMoney", "12 x MRR, rounded half up to cents"),
        "reason": {
            "description": "of the cancellation; null if it has none",
            "anyOf": [{"type": "string", "maxLength": MAX_REASON_CHARACTERS}, {"type": "null"}],
        },
    },
    "required": [
        "customer_id",
        "signup_date",
        "churn_date",
        "tenure_days",
        "is_early_stage",
        "industry",
        "plan_tier",
        "mrr",
        "lost_arr",
        "reason",
    ],
    "examples": [
        {
            "customer_id": _CUSTOMER,
            "signup_date": "2026-01-15",
            "churn_date": "2026-06-30",
            "tenure_days": 166,
            "is_early_stage": False,
            "industry": "FinTech",
            "plan_tier": "growth",
            "mrr": {"amount": "499.00", "currency": "USD"},
            "lost_arr": {"amount": "5988.00", "currency": "USD"},
            "reason": "too_expensive",
        }
    ],
}

MESSAGES: dict[str, Schema] = {"signup": _SIGNUP, "cancellation": _CANCELLATION, "churned": _CHURNED}
"""The schema of each message; its references are to `DEFINITIONS`."""


def schema_id(name: str) -> str:
    """Return the URI of the schema of `signup`, `cancellation` or `churned`; the number is its major version."""
    return f"urn:customer-worker:schema:customer.{name}:1"


def schema(name: str) -> Schema:
    """Return the JSON Schema (2020-12) of `signup`, `cancellation` or `churned`, complete in itself."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": schema_id(name),
        **MESSAGES[name],
        "$defs": {used: DEFINITIONS[used] for used in _used(MESSAGES[name])},
    }


def _used(part: object) -> dict[str, None]:
    """Return the names of definitions that a schema refers to, also through others, in their order."""
    names: dict[str, None] = {}
    waiting = [part]
    while waiting:
        match waiting.pop():
            case {"$ref": str(reference)} if (name := reference.removeprefix("#/$defs/")) not in names:
                names[name] = None
                waiting.append(DEFINITIONS[name])
            case dict(members):
                waiting += members.values()
            case list(items):
                waiting += items
    return dict.fromkeys(name for name in DEFINITIONS if name in names)
