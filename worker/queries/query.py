"""What a question about the store is: the same function answers it in a command and in the running worker."""

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
    """The parameters of a question that has none."""


@dataclass(frozen=True, slots=True)
class Question(Generic[P, A]):
    """A question by `name`. `find` looks its answer up; parameters and answer travel between processes as JSON."""

    name: str
    parameters: type[P]
    answer: type[A]
    find: Callable[[StoreView, Settings, P], A]
