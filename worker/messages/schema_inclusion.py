"""Inclusion of JSON Schemas: whether one accepts every value that another accepts.

The answer errs on one side: a difference that cannot be judged (two patterns, two exclusions) counts as a rule that
excludes something.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
Exclusion = tuple[str, str]
"""The path of a field, and the rule of a schema that excludes values of it."""

_LIMITS = {"minLength": 1, "minimum": 1, "minItems": 1, "maxLength": -1, "maximum": -1, "maxItems": -1}
"""Keywords with a number, and the sign of a stricter one."""
_SHOWN = 100


def excluding_rules(
    values: Schema, schema: Schema, path: str = "", *, are_new_fields_free: bool
) -> Iterator[Exclusion]:
    """Yield the rules of `schema` that exclude something which `values` accepts.

    Both schemas are without references and annotations, except for recursive references. With `are_new_fields_free`, a
    field that `values` does not name may have any rule.
    """
    if "anyOf" in values and values["anyOf"] != schema.get("anyOf"):
        for one in _alternatives(values):
            yield from excluding_rules(one, schema, path, are_new_fields_free=are_new_fields_free)
    elif "anyOf" in schema and values.get("anyOf") != schema["anyOf"]:
        each = (
            list(excluding_rules(values, one, path, are_new_fields_free=are_new_fields_free))
            for one in _alternatives(schema)
        )
        yield from min(each, key=len)
    else:
        for keyword, rule in schema.items():
            yield from _excluding(values, keyword, rule, path, are_new_fields_free=are_new_fields_free)


def _excluding(values: Schema, keyword: str, rule: Any, path: str, *, are_new_fields_free: bool) -> Iterator[Exclusion]:
    own = values.get(keyword, {})
    match keyword:
        case "properties":
            for name in sorted(rule.keys() & own.keys()):
                inner = f"{path}.{name}"
                yield from excluding_rules(own[name], rule[name], inner, are_new_fields_free=are_new_fields_free)
            if not are_new_fields_free:
                yield from ((f"{path}.{name}", "field") for name in sorted(rule.keys() - own.keys()))
        case "additionalProperties" | "propertyNames" | "items" if isinstance(rule, dict) and isinstance(own, dict):
            yield from excluding_rules(own, rule, f"{path}.*", are_new_fields_free=are_new_fields_free)
        case "required":
            yield from ((f"{path}.{name}", "required") for name in rule if name not in own)
        case _ if not _is_implied(keyword, rule, values):
            yield path, f"{keyword} {json.dumps(rule)}"[:_SHOWN]


def _alternatives(schema: Schema) -> Iterator[Schema]:
    """Yield each alternative, with the rules that all have."""
    common = {name: rule for name, rule in schema.items() if name != "anyOf"}
    return (common | one for one in schema["anyOf"])


def _is_implied(keyword: str, rule: Any, values: Schema) -> bool:
    """Return whether all these values follow a rule."""
    own = values.get(keyword)
    if own == rule:
        return True
    listed = values.get("enum", [values["const"]] if "const" in values else None)
    if listed is not None:
        return all(_follows(value, keyword, rule) for value in listed)
    if own is None:
        return False
    if keyword == "type":
        return _types(own) <= _types(rule)
    return keyword in _LIMITS and own * _LIMITS[keyword] >= rule * _LIMITS[keyword]


def _types(rule: str | list[str]) -> set[str]:
    types = {rule} if isinstance(rule, str) else set(rule)
    return types | {"integer"} if "number" in types else types


def _follows(value: Any, keyword: str, rule: Any) -> bool:
    """Return whether one listed value follows a rule. Only text is judged."""
    if not isinstance(value, str):
        return keyword == "enum" and value in rule
    match keyword:
        case "enum":
            return value in rule
        case "const":
            return bool(value == rule)
        case "type":
            return "string" in _types(rule)
        case "pattern":
            return re.search(rule, value) is not None
    return False
