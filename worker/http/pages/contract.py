"""The contract: topics, messages and their fields, from the AsyncAPI document. It contains no customer data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from starlette.responses import HTMLResponse

from worker.http.pages.frame import Frame
from worker.messages.asyncapi import asyncapi
from worker.messages.schemas import MESSAGES
from worker.settings import Settings


class Field(NamedTuple):
    """A field of a value, or a header."""

    name: str
    kind: str
    is_required: bool
    description: str


class MessageShown(NamedTuple):
    """A kind of record; `schema` is the address of its JSON Schema, empty if it has none."""

    name: str
    summary: str
    key: str
    headers: list[Field]
    fields: list[Field]
    example: str
    schema: str


class Channel(NamedTuple):
    """A topic and its kinds of records; `direction` is that of the worker."""

    topic: str
    direction: str
    description: str
    messages: list[MessageShown]


class ContractPage:
    """The page of the contract."""

    def __init__(self, settings: Settings, frame: Frame) -> None:
        self._frame = frame
        self._document = asyncapi(settings)

    def page(self) -> HTMLResponse:
        """Render the page."""
        info = self._document["info"]
        return self._frame.page("contract", info=info, channels=list(self._channels()), schemas=list(MESSAGES))

    def _channels(self) -> Iterator[Channel]:
        actions = {
            operation["channel"]["$ref"].rpartition("/")[2]: operation["action"]
            for operation in self._document["operations"].values()
        }
        for name, channel in self._document["channels"].items():
            messages = [self._message(self._resolved(each)) for each in channel["messages"].values()]
            direction = "read" if actions[name] == "receive" else "written"
            yield Channel(channel["address"], direction, channel["description"], messages)

    def _message(self, message: Mapping[str, Any]) -> MessageShown:
        payload = self._resolved(message["payload"])
        example: Mapping[str, Any] = next(iter(message.get("examples", ())), {})
        return MessageShown(
            message["name"],
            message["summary"],
            message["bindings"]["kafka"]["key"].get("description", ""),
            self._fields(message["headers"]),
            self._fields(payload),
            json.dumps(example["payload"], indent=2) if "payload" in example else "",
            f"schemas/{message['name']}.json" if message["name"] in MESSAGES else "",
        )

    def _fields(self, schema: Mapping[str, Any]) -> list[Field]:
        required = schema.get("required", ())
        return [
            Field(name, self._kind(of), name in required, self._description(of))
            for name, of in schema.get("properties", {}).items()
        ]

    def _kind(self, schema: Mapping[str, Any]) -> str:
        schema = self._resolved(schema)
        if "const" in schema:
            return f'"{schema["const"]}"'
        if "anyOf" in schema and "type" not in schema:
            return " or ".join(dict.fromkeys(self._kind(each) for each in schema["anyOf"]))
        if schema.get("type") == "object" and "properties" in schema:
            return f"object: {', '.join(schema['properties'])}"
        kind = schema.get("type", "any")
        return str(schema.get("format", kind)) if isinstance(kind, str) else " or ".join(kind)

    def _description(self, schema: Mapping[str, Any]) -> str:
        return str(schema.get("description") or self._resolved(schema).get("description", ""))

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the definition that a schema refers to, with what it adds."""
        if "$ref" not in schema:
            return schema
        found: Any = self._document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return {**self._resolved(found), **{name: value for name, value in schema.items() if name != "$ref"}}
