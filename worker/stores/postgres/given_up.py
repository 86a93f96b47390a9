"""Which records were given up, looked up only when somebody asks: a batch that reads nothing again does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Any

from worker.stores.port import Place
from worker.stores.row_codec import GIVEN_UP


class GivenUp(AbstractSet[Place]):
    """The places of the records that an operator decided to leave."""

    def __init__(self, rows: Callable[[str], list[tuple[Any, ...]]]) -> None:
        self._rows = rows

    @cached_property
    def _places(self) -> frozenset[tuple[Any, ...]]:
        return frozenset(self._rows(GIVEN_UP))

    def __contains__(self, place: object) -> bool:
        return place in self._places

    def __iter__(self) -> Iterator[Place]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
