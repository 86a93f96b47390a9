"""Queries of the pages: run as those of commands, one at a time within a time limit, and decoded."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

import msgspec

from worker.messages.validation import FieldRefused, customer_id_from
from worker.queries.query import Query
from worker.queries.server import QueryServer

P = TypeVar("P", bound=msgspec.Struct)
A = TypeVar("A")


class BadRequest(Exception):
    """A parameter of a page that is not valid; the message names it and what is valid."""


async def ask(query_server: QueryServer, query: Query[P, A], parameters: P) -> A:
    """Run a query and return its result. Raises `QueryFailed`."""
    return msgspec.json.decode(await query_server.run(query, parameters), type=query.result)


def one_of(parameters: Mapping[str, str], name: str, allowed: Collection[str]) -> str:
    """Return a parameter, empty if it is missing. Raises `BadRequest` if it is none of the allowed ones."""
    value = parameters.get(name, "")
    if value and value not in allowed:
        raise BadRequest(f"{name} is one of {', '.join(allowed)}")
    return value


def customer_id(text: str) -> str:
    """Return a customer id in lower case. Raises `BadRequest`."""
    try:
        return customer_id_from(text.strip())
    except FieldRefused as refused:
        raise BadRequest(str(refused)) from None
