"""The abandoned records, looked up at the first use: a batch that reads nothing again needs none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Any

from worker.stores.port import Place
from worker.stores.row_codec import ABANDONED


class Abandoned(AbstractSet[Place]):
    """Coordinates of the records that an operator decided to leave."""

    def __init__(self, rows: Callable[[str], list[tuple[Any, ...]]]) -> None:
        self._rows = rows

    @cached_property
    def _places(self) -> frozenset[tuple[Any, ...]]:
        return frozenset(self._rows(ABANDONED))

    def __contains__(self, place: object) -> bool:
        return place in self._places

    def __iter__(self) -> Iterator[Place]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
