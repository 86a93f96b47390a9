"""The churned topic is read from the cached prefix, if that is still valid."""

import asyncio
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition

from tests.support.builders import ADA, BOB, EVE
from worker.bootstrap import open_value_reader
from worker.kafka.record_parsing import ValueBatch
from worker.reconcile.churned_topic import ChurnedTopic, PrefixChanged, Reading
from worker.reconcile.reconciliation import Reconciliation
from worker.reconcile.report import Report
from worker.reconcile.topic_cache import CachedReading, ReadPrefix, TopicCache
from worker.settings import Settings
from worker.stores.churns import Churn, ChurnDay, ChurnPair, PublishedPosition, StoreDays, Sum, ValueReader

PLACE, OTHER = TopicPartition("churned", 0), TopicPartition("churned", 1)
FIRST, SECOND = date(2026, 6, 29), date(2026, 6, 30)
GONE = Churn(ADA, FIRST, Decimal("12.00"))
Log = dict[TopicPartition, list[ValueBatch]]


class Reader:
    """Reads these logs, which begin at `begin`; `sought` is from where."""

    def __init__(self, log: Log, begin: int = 0) -> None:
        self.sought: dict[TopicPartition, int] = {}
        self._log = log
        self._begin = begin
        self._positions: dict[TopicPartition, int] = {}

    async def beginning_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, self._begin)

    def assign(self, places: Sequence[TopicPartition]) -> None:
        pass

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.sought[place] = self._positions[place] = offset

    async def getmany(
        self, *places: TopicPartition, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[ValueBatch]]:
        await asyncio.sleep(0)  # others go on meanwhile
        found = {
            place: [batch for batch in self._log[place] if batch.offset >= self._positions[place]] for place in places
        }
        self._positions.update((place, end(self._log[place])) for place in places)
        return {place: batches for place, batches in found.items() if batches}

    async def position(self, place: TopicPartition) -> int:
        return self._positions[place]


@pytest.fixture(scope="module")
def values() -> Iterator[ValueReader]:
    with open_value_reader() as reader:
        yield reader


def end(batches: list[ValueBatch]) -> int:
    """After the last batch and the marker that follows it."""
    return batches[-1].offset + 2 if batches else 0


def left(who: str, day: date) -> bytes:
    arr = {"amount": "12.00", "currency": "USD"}
    return json.dumps({"customer_id": who, "churn_date": str(day), "lost_arr": arr}).encode()


def batch(offset: int, checksum: int, *events: bytes) -> ValueBatch:
    return ValueBatch(list(range(offset, offset + len(events))), list(events), checksum)


def read(
    values: ValueReader, reader: Reader, log: Log, known: CachedReading | None = None, marked: float = math.inf
) -> Reading:
    topic: Any = ChurnedTopic(reader, list(log), values)
    ends = {place: end(batches) for place, batches in log.items()}
    nothing = CachedReading(values.fingerprinted_by)
    marks = {str(place.partition): marked for place in log}
    reading: Reading = asyncio.run(topic.read(known or nothing, ends, marks))
    return reading


def remembered(values: ValueReader, reading: Reading) -> CachedReading:
    return CachedReading(values.fingerprinted_by, 1.0, reading.prefixes, reading.settled)


def counts(days: dict[date, Sum]) -> dict[date, int]:
    return {day: added.count for day, added in days.items()}


@pytest.fixture
def log() -> Log:
    first = [batch(0, 7, left(ADA, FIRST)), batch(2, 8, left(BOB, FIRST), left(EVE, SECOND))]
    return {PLACE: first, OTHER: [batch(0, 9, left(EVE, SECOND))]}


def test_records_before_the_marked_ends_are_settled(values: ValueReader, log: Log) -> None:
    reading = read(values, Reader(log), log, marked=2)
    assert (counts(reading.settled), counts(reading.unsettled)) == ({FIRST: 1, SECOND: 1}, {FIRST: 1, SECOND: 1})
    assert counts(reading.days()) == {FIRST: 2, SECOND: 2}
    assert reading.prefixes == {0: ReadPrefix(0, 1, 7), 1: ReadPrefix(0, 1, 9)}
    assert reading.recent == {BOB, EVE}


def test_only_the_last_batch_of_the_cached_prefix_is_reread(values: ValueReader, log: Log) -> None:
    first = read(values, Reader(log), log)
    log[PLACE].append(batch(5, 10, left(ADA, SECOND)))
    reader = Reader(log)
    again = read(values, reader, log, remembered(values, first))
    assert reader.sought == {PLACE: 3, OTHER: 0}
    assert counts(again.settled) == {FIRST: 2, SECOND: 3}
    assert again.prefixes == {0: ReadPrefix(0, 6, 10), 1: ReadPrefix(0, 1, 9)}
    whole = read(values, Reader(log), log)
    assert (again.settled, again.prefixes) == (whole.settled, whole.prefixes)
    assert first.prefixes[0] == ReadPrefix(0, 4, 8), "what was known is not changed by it"


def test_new_partition_is_read_whole(values: ValueReader, log: Log) -> None:
    first = read(values, Reader(log), {PLACE: log[PLACE]})
    assert counts(read(values, Reader(log), log, remembered(values, first)).settled) == {FIRST: 2, SECOND: 2}


@pytest.mark.parametrize(
    ("now", "begin"),
    [
        ([batch(0, 7, left(ADA, FIRST)), batch(2, 6, left(BOB, FIRST), left(EVE, SECOND))], 0),
        ([batch(0, 7, left(ADA, FIRST)), batch(2, 8, left(BOB, FIRST))], 0),
        ([batch(0, 7, left(ADA, FIRST)), batch(2, 8, left(BOB, FIRST)), batch(4, 8, left(EVE, SECOND))], 0),
        ([batch(0, 7, left(ADA, FIRST)), batch(5, 8, left(BOB, FIRST))], 0),
        ([batch(0, 7, left(ADA, FIRST))], 0),
        ([], 0),
        ([batch(0, 7, left(ADA, FIRST)), batch(2, 8, left(BOB, FIRST), left(EVE, SECOND))], 1),
    ],
    ids=["another batch", "shorter batch", "cut in two", "moved", "cut off", "empty", "begins later"],
)
def test_changed_last_batch_invalidates_the_cache(
    values: ValueReader, log: Log, now: list[ValueBatch], begin: int
) -> None:
    known = remembered(values, read(values, Reader(log), log))
    changed = log | {PLACE: now}
    with pytest.raises(PrefixChanged):
        read(values, Reader(changed, begin), changed, known)


def test_deleted_last_batch_invalidates_the_cache(values: ValueReader) -> None:
    log: Log = {PLACE: [batch(0, 7, left(ADA, FIRST))]}
    known = CachedReading(values.fingerprinted_by, 1.0, {0: ReadPrefix(0, 2, 8)}, {})
    with pytest.raises(PrefixChanged):
        read(values, Reader(log), log, known)


def test_missing_partition_invalidates_the_cache(values: ValueReader, log: Log) -> None:
    known = remembered(values, read(values, Reader(log), log))
    with pytest.raises(PrefixChanged):
        read(values, Reader(log), {PLACE: log[PLACE]}, known)


def test_cache_is_used_while_fresh_and_comparable(
    values: ValueReader, log: Log, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    memory, settings = TopicCache(Settings()), Settings()
    known = remembered(values, read(values, Reader(log), log))
    memory.save(known)
    assert msgspec.to_builtins(TopicCache(settings).load(known.fingerprinted_by, 0.5)) == msgspec.to_builtins(known)
    assert not memory.load(known.fingerprinted_by, 1.0).prefixes
    assert not memory.load("DuckDB 1.0", 0.5).prefixes
    other = settings.model_copy(update={"topics": settings.topics.model_copy(update={"churned": "other"})})
    assert not TopicCache(other).load(known.fingerprinted_by, 0.5).prefixes


class ReconcileSource:
    """A store in which these have left, all published, which is asked by one at a time."""

    def __init__(self, fingerprinted_by: str, days: list[ChurnDay], pairs: Sequence[ChurnPair] = ()) -> None:
        self._pairs = list(pairs)
        self._fingerprinted_by = fingerprinted_by
        self._days = days
        self._is_asked = False

    async def published_position(self) -> PublishedPosition:
        assert not self._is_asked
        return PublishedPosition(9, {"0": 9, "1": 9}, self._fingerprinted_by)

    async def days(self, published_seq: int, since: date, until: date, pending_at_most: int) -> StoreDays:
        self._is_asked = True
        await asyncio.sleep(0.05)
        self._is_asked = False
        return StoreDays(self._days, [], 0)

    async def pairs(self, published_seq: int, days: Sequence[date]) -> list[ChurnPair]:
        return self._pairs


def reported(
    values: ValueReader,
    log: Log,
    known: CachedReading,
    days: dict[date, Sum] | None = None,
    pairs: Sequence[ChurnPair] = (),
    *,
    pending: bool = False,
) -> tuple[Report, CachedReading]:
    """Against a store that says the same as the whole topic, or these days."""
    told = read(values, Reader(log), log).days() if days is None else days
    nobody = Sum()
    stored = [ChurnDay(day, *((each, nobody, each) if pending else (each, each))) for day, each in told.items()]
    books = ReconcileSource(values.fingerprinted_by, stored, pairs)

    class Ends(Reader):
        async def end_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
            return {place: end(log[place]) for place in places}

    topic: Any = ChurnedTopic(Ends(log), list(log), values)
    reconciling = Reconciliation(topic, books, values, date.min, date.max)
    return asyncio.run(reconciling.report(known))


def test_clean_comparison_uses_the_cache(values: ValueReader, log: Log) -> None:
    first, known = reported(values, log, CachedReading(values.fingerprinted_by))
    again, _ = reported(values, log, known)
    assert (first.is_clean, first.read_before) == (True, 0)
    assert (again.is_clean, again.read_before) == (True, 4)
    assert again.days == first.days


def test_wrong_cache_causes_no_difference(values: ValueReader, log: Log) -> None:
    _, known = reported(values, log, CachedReading(values.fingerprinted_by))
    wrong = msgspec.structs.replace(known, days={**known.days, FIRST: Sum(7)})
    report, right = reported(values, log, wrong)
    assert (report.is_clean, report.read_before) == (True, 0)
    assert right.days == known.days


def test_difference_is_reported_from_a_full_read(values: ValueReader, log: Log) -> None:
    _, known = reported(values, log, CachedReading(values.fingerprinted_by))
    report, _ = reported(values, log, known, {FIRST: known.days[FIRST]})
    assert (report.is_clean, report.read_before) == (False, 0)
    assert {each.customer_id for each in report.differences} == {EVE}


def test_unrecognised_record_is_reported_from_a_full_read(values: ValueReader, log: Log) -> None:
    _, known = reported(values, log, CachedReading(values.fingerprinted_by))
    log[PLACE].append(batch(5, 10, b"?"))
    report, _ = reported(values, log, known)
    assert (report.is_clean, report.read_before, report.unrecognised) == (False, 0, ["churned/0/5"])


def test_erased_events_are_a_category_of_their_own(values: ValueReader, log: Log) -> None:
    days = read(values, Reader(log), log).days()
    _, known = reported(values, log, CachedReading(values.fingerprinted_by))
    log[PLACE].append(tombstone(5, ADA))
    pair = ChurnPair(ADA, GONE, GONE, is_published=True)
    report, _ = reported(values, log, known, days, [pair])
    first = report.days[FIRST]
    assert (report.is_clean, report.tombstones, report.read_before) == (True, 1, 0)
    assert (first.events.count, first.topic.count, first.erased.count) == (2, 1, 1)
    assert report.days[SECOND].erased == Sum()
    del log[PLACE][0]  # compacted
    assert reported(values, log, known, days, [pair])[0] == report


def test_tombstone_before_its_event_is_ineffective(values: ValueReader, log: Log) -> None:
    log[PLACE] = [tombstone(0, ADA), batch(1, 7, left(ADA, FIRST))]
    report, _ = reported(values, log, CachedReading(values.fingerprinted_by))
    assert not report.is_clean
    assert [(each.tombstone, each.event) for each in report.ineffective] == [("churned/0/0", "churned/0/1")]
    assert (report.differences, report.unrecognised, report.total.erased.count) == ([], [], 0)


def test_pending_event_with_a_tombstone_is_pending(values: ValueReader, log: Log) -> None:
    adds = values.sums([GONE])[FIRST]
    log = {PLACE: [tombstone(0, ADA)]}
    pair = ChurnPair(ADA, GONE, GONE, is_published=False)
    report, _ = reported(values, log, CachedReading(values.fingerprinted_by), {FIRST: adds}, [pair], pending=True)
    assert (report.is_clean, report.total.pending.count, report.total.erased.count) == (True, 1, 0)


def tombstone(offset: int, who: str) -> ValueBatch:
    return ValueBatch([offset], [None], 1, ((offset, who.encode()),))


def test_invalid_cache_reads_the_store_again(values: ValueReader, log: Log) -> None:
    _, known = reported(values, log, CachedReading(values.fingerprinted_by))
    log[PLACE][-1] = log[PLACE][-1]._replace(checksum=6)
    report, _ = reported(values, log, known)
    assert (report.is_clean, report.read_before) == (True, 0)
