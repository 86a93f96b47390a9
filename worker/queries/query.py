"""Queries on the store: the same function runs in a command and in the running worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from worker.settings import Settings
from worker.stores.reading import StoreView

P = TypeVar("P", bound=msgspec.Struct)
A = TypeVar("A")


class NoParameters(msgspec.Struct, frozen=True):
    """Parameters of a query that has none."""


@dataclass(frozen=True, slots=True)
class Query(Generic[P, A]):
    """A query by `name`, executed by `run`. Parameters and result are sent between processes as JSON."""

    name: str
    parameters: type[P]
    result: type[A]
    run: Callable[[StoreView, Settings, P], A]
