"""The smallest fetch that still shows a difference: first fewer records, then less of the record."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from tests.fuzz.differences import Difference, Findings, compare
from tests.fuzz.fetches import Batch, Fetch
from tests.fuzz.records import NOON
from tests.support.raw_batches import BatchHeader, RawRecord

T = TypeVar("T")
Alone = Callable[[RawRecord], Fetch]
LIMIT_S = 20.0


def shrunk(fetch: Fetch, difference: Difference) -> Fetch:
    """Return the smallest fetch found within the time limit that has a difference of the same kind."""
    return _Shrinker(difference, time.monotonic() + LIMIT_S).shrink(fetch)


class _Shrinker:
    def __init__(self, difference: Difference, deadline: float) -> None:
        self._difference = difference
        self._deadline = deadline

    def shrink(self, fetch: Fetch) -> Fetch:
        for batch in fetch.batches:
            for record in batch.records:
                if self._difference.offset in {None, record.offset} and (alone := self._alone(fetch, batch, record)):
                    return self._smaller_record(record, alone)
        return self._fewer_records(fetch)  # it takes several of them

    def _alone(self, fetch: Fetch, batch: Batch, record: RawRecord) -> Alone | None:
        """Return how to make a fetch of a record alone, in a plain batch or one like its own; None if none differs."""
        found = (partial(_alone_in, fetch, header) for header in (None, batch.header))
        return next((alone for alone in found if self._differs(alone(record))), None)

    def _differs(self, fetch: Fetch) -> bool:
        found = None if time.monotonic() > self._deadline else compare(fetch, Findings())
        return found is not None and _kind(found) == _kind(self._difference)

    def _fewer_records(self, fetch: Fetch) -> Fetch:
        fetch = replace(fetch, parts=_fewest(fetch.parts, lambda parts: self._differs(replace(fetch, parts=parts))))
        for place, part in enumerate(fetch.parts):
            if isinstance(part, Batch):
                fetch = self._fewer_of(part, _replacing(fetch, place, part))
        return fetch

    def _fewer_of(self, batch: Batch, with_records: Callable[[list[RawRecord]], Fetch]) -> Fetch:
        return with_records(_fewest(batch.records, lambda left: self._differs(with_records(left))))

    def _smaller_record(self, record: RawRecord, alone: Alone) -> Fetch:
        def differs(candidate: RawRecord) -> bool:
            return self._differs(alone(candidate))

        simpler = record._replace(key=None), record._replace(timestamp=NOON), record._replace(headers=[])
        record = next(filter(differs, (_simplest(record), *simpler)), record)
        record = record._replace(headers=_fewest(record.headers, lambda left: differs(record._replace(headers=left))))
        if record.value:
            left = _fewest(record.value, lambda value: differs(record._replace(value=bytes(value))))
            record = record._replace(value=bytes(left))
        return alone(record)


def _kind(difference: Difference) -> str:
    return difference.text.split(";")[0].split(":")[0][:60]


def _simplest(record: RawRecord) -> RawRecord:
    return RawRecord(record.offset, NOON, None, record.value, [])


def _alone_in(fetch: Fetch, header: BatchHeader | None, record: RawRecord) -> Fetch:
    """Return a fetch of this record alone, in a batch with this header, or in a plain one."""
    batch = Batch(header or BatchHeader(record.offset), [record])
    return replace(fetch, start=record.offset, parts=[batch])


def _replacing(fetch: Fetch, place: int, batch: Batch) -> Callable[[list[RawRecord]], Fetch]:
    """Return a function that returns the fetch with other records in one of its batches."""
    header = replace(batch.header, last_offset=batch.next_offset - 1)

    def with_records(records: list[RawRecord]) -> Fetch:
        changed = replace(batch, header=header, records=records)
        return replace(fetch, parts=[*fetch.parts[:place], changed, *fetch.parts[place + 1 :]])

    return with_records


def _fewest(items: Sequence[T], differs: Callable[[list[T]], bool]) -> list[T]:
    """Remove as many items as possible: halves, then smaller parts, then single ones (delta debugging)."""
    left = list(items)
    size = max(len(left) // 2, 1)
    while left:
        place = 0
        while place < len(left):
            fewer = left[:place] + left[place + size :]
            if differs(fewer):
                left = fewer
            else:
                place += size
        if size == 1:
            break
        size //= 2
    return left
