"""The abandoned records, loaded at the first use: a batch without replayed records does not use them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Any

from worker.stores.changes import RecordCoordinates
from worker.stores.row_codec import ABANDONED


class Abandoned(AbstractSet[RecordCoordinates]):
    """Coordinates of the records that an operator abandoned."""

    def __init__(self, rows: Callable[[str], list[tuple[Any, ...]]]) -> None:
        self._rows = rows

    @cached_property
    def _coordinates(self) -> frozenset[RecordCoordinates]:
        return frozenset(map(RecordCoordinates._make, self._rows(ABANDONED)))

    def __contains__(self, coordinates: object) -> bool:
        return coordinates in self._coordinates

    def __iter__(self) -> Iterator[RecordCoordinates]:
        return iter(self._coordinates)

    def __len__(self) -> int:
        return len(self._coordinates)
