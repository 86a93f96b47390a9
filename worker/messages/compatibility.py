"""Compatibility of two versions of the contract, as AsyncAPI documents.

An input that accepts less than before breaks producers. An output that promises less than before breaks subscribers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from worker.messages.schema_inclusion import excluding_rules

Part = dict[str, Any]
Change = tuple[str, str]
"""The place of a change below its operation, and the change."""

_ANNOTATIONS = frozenset(
    {"title", "description", "summary", "examples", "default", "format", "$comment", "x-schema-id"}
)


class Break(NamedTuple):
    """A change that breaks others. `where` names the operation, the message and the field."""

    where: str
    change: str
    breaks: str

    def __str__(self) -> str:
        return f"{self.where}: {self.change}. Breaks {self.breaks}."


def find_breaks(old: object, new: object) -> list[Break]:
    """Return the changes from the old document to the new one that break producers or subscribers.

    Raises `ValueError` if one is not an AsyncAPI 3 document.
    """
    before, after = _operations(old), _operations(new)
    found = []
    for name, (action, channel) in before.items():
        whom = f"{'producers' if action == 'receive' else 'subscribers'} of {channel.get('address')}"
        new_action, new_channel = after.get(name, ("", {}))
        if action == new_action:
            changes = _channel_changes(channel, new_channel, is_input=action == "receive")
            found += [Break(name + where, change, whom) for where, change in changes]
        else:
            found.append(Break(name, "removed", whom))
    return found


def _operations(document: object) -> dict[str, tuple[str, Part]]:
    """Return the action and the channel of each operation, without references and annotations."""
    if not isinstance(document, dict) or not str(document.get("asyncapi")).startswith("3."):
        raise ValueError("not an AsyncAPI 3 document")
    try:
        operations = _expanded(document.get("operations", {}), document, ())
        return {name: (part["action"], part["channel"]) for name, part in operations.items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("an AsyncAPI document with a reference or an operation that is not complete") from error


def _expanded(part: Any, document: Part, opened: tuple[str, ...]) -> Any:
    """Return a part with its references replaced. A reference to a part that contains it stays."""
    match part:
        case {"$ref": str(reference)}:
            if reference in opened:
                return {"$ref": reference}
            target: Any = document
            for name in reference.removeprefix("#/").split("/"):
                target = target[name]
            return _expanded(target, document, (*opened, reference))
        case dict():
            # Fields of records can have the name of an annotation, so that a map of fields keeps all its names.
            return {
                name: {field: _expanded(each, document, opened) for field, each in inner.items()}
                if name == "properties"
                else _expanded(inner, document, opened)
                for name, inner in part.items()
                if name not in _ANNOTATIONS
            }
        case list():
            return [_expanded(each, document, opened) for each in part]
    return part


def _channel_changes(old: Part, new: Part, *, is_input: bool) -> Iterator[Change]:
    if old.get("address") != new.get("address"):
        yield "", f"the topic is now {new.get('address')}"
    before, after = old.get("messages", {}), new.get("messages", {})
    for name, message in before.items():
        if name not in after:
            yield f".{name}", "this kind of message is removed"
            continue
        for where, change in _message_changes(message, after[name], is_input=is_input):
            yield f".{name}.{where}", change
    if not is_input:
        yield from ((f".{name}", "this kind of message is new") for name in after if name not in before)


def _message_changes(old: Part, new: Part, *, is_input: bool) -> Iterator[Change]:
    for name in ("contentType", "correlationId"):
        if old.get(name) != new.get(name):
            yield name, f"is now {new.get(name)}"
    for name, before, after in (
        ("key", _key(old), _key(new)),
        ("headers", old.get("headers", {}), new.get("headers", {})),
        ("payload", old.get("payload", {}), new.get("payload", {})),
    ):
        values, schema = (before, after) if is_input else (after, before)
        for path, rule in dict.fromkeys(excluding_rules(values, schema, are_new_fields_free=is_input)):
            yield f"{name}{path}", f"{'added' if is_input else 'dropped'}: {rule}"


def _key(message: Part) -> Part:
    key: Part = message.get("bindings", {}).get("kafka", {}).get("key", {})
    return key
