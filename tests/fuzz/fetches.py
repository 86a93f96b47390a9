"""What fetches return of a partition: batches of every codec, markers, aborted transactions, compacted batches."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tests.fuzz.dice import Dice
from tests.fuzz.headers import Headers
from tests.fuzz.records import AnyRecord, odd_record, usual_record
from tests.fuzz.values import Customer, any_customer
from tests.support.raw_batches import ABORT, CODECS, COMMIT, TRANSACTIONAL, BatchHeader, RawRecord, marker, pack
from tests.support.records import Kind

CHUNK = 1_000
"""Number of records of a chunk, which the seed and its number determine."""
READ_AGAIN = 0.25
"""Share of the fetches that are read again."""
KINDS: tuple[Kind, Kind] = ("signup", "cancellation")
_SIZES = (1, 2, 5, 20, 63, 64, 65, 100, 130, 200)
_ODDNESS = (0.0, 0.0, 0.01, 0.1, 0.5, 1.0, 1.0, 1.0)
_CODECS = ("none",) * 7 + CODECS
EXTREME_TIMES = (0, -1, 2**63 - 1, -(2**63))
"""Base timestamps of batches, with which the differences of the records' timestamps overflow."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A record batch. Those of an aborted transaction are not visible. `index` is that of its first record in a run."""

    header: BatchHeader
    records: Sequence[RawRecord]
    is_aborted: bool = False
    index: int = 0

    @property
    def next_offset(self) -> int:
        """The offset after the batch."""
        last = self.header.last_offset
        return (self.records[-1].offset if last is None else last) + 1


@dataclass(frozen=True, slots=True)
class Marker:
    """The marker that ends the transaction of a producer."""

    offset: int
    kind: int
    producer_id: int


@dataclass(slots=True)
class Fetch:
    """What a fetch from the offset `start` of a partition returned.

    With `is_read_again` its records are read as commands read them, too, and asked back from their batches.
    """

    kind: Kind
    partition: int
    start: int
    accept_framed: bool
    is_read_again: bool
    parts: list[Batch | Marker] = field(default_factory=list)

    def data(self) -> bytes:
        """Encode it as a broker sends it."""
        return b"".join(
            marker(part.offset, part.kind, part.producer_id)
            if isinstance(part, Marker)
            else pack(part.records, part.header)
            for part in self.parts
        )

    @property
    def batches(self) -> list[Batch]:
        """The batches of records."""
        return [part for part in self.parts if isinstance(part, Batch)]

    def index_of(self, offset: int | None) -> int:
        """Return the index in the run of the record at this offset; without one, of the first record."""
        found = (
            batch.index + place
            for batch in self.batches
            for place, record in enumerate(batch.records)
            if offset in {None, record.offset}
        )
        return next(found)

    def visible(self) -> list[RawRecord]:
        """Return the records that a `read_committed` consumer gets, with the timestamps that count."""
        return [
            record if batch.header.append_time is None else record._replace(timestamp=batch.header.append_time)
            for batch in self.batches
            if not batch.is_aborted
            for record in batch.records
            if record.offset >= self.start
        ]

    def aborted(self) -> list[tuple[int, int]]:
        """Return producer id and first offset of each aborted transaction, as brokers list them."""
        return [(batch.header.producer[0], batch.header.base_offset) for batch in self.batches if batch.is_aborted]


def fetches(seed: int, chunk: int) -> list[Fetch]:
    """Return the fetches of a chunk: the same for the same seed and number."""
    dice = Dice(f"{seed}/{chunk}")
    found = [
        Fetch(kind, dice.below(8), dice.pick((0, 7, 2**31, 2**53)), dice.chance(0.2), dice.chance(READ_AGAIN))
        for kind in KINDS
    ]
    builders = [_Builder(dice, fetch) for fetch in found]
    left = CHUNK
    while left:
        size = min(left, dice.pick(_SIZES))
        dice.pick(builders).add(size, serial=chunk * CHUNK + CHUNK - left)
        left -= size
    for builder in builders:
        builder.end()
    return found


def _with_utf8_names(headers: Headers) -> Headers:
    return [(name if name.isascii() else name.decode(errors="ignore").encode(), value) for name, value in headers]


class _Builder:
    """Builds a fetch batch by batch."""

    def __init__(self, dice: Dice, fetch: Fetch) -> None:
        self._dice = dice
        self._fetch = fetch
        self._offset = fetch.start
        self._open: list[tuple[int, int]] = []
        self._known: list[Customer] = []

    def add(self, size: int, serial: int) -> None:
        """Add a batch of records, and rarely an empty one or a marker."""
        dice = self._dice
        if dice.chance(0.1):
            self._offset += dice.below(5)  # whole batches that compaction removed
        oddness = dice.pick(_ODDNESS)
        records = [self._record(oddness, serial + place) for place in range(size)]
        placed, header = self._placed(records)
        batch = Batch(header, placed, index=serial)
        if dice.chance(0.2):
            batch = self._in_transaction(batch)
        self._fetch.parts.append(batch)
        self._offset = batch.next_offset
        if dice.chance(0.3):
            self._end_transaction()
        if dice.chance(0.03):
            self._add_empty()

    def end(self) -> None:
        """End the open transactions, and rarely begin within the first batch: a broker returns whole batches."""
        while self._open:
            self._end_transaction()
        if self._fetch.batches and self._dice.chance(0.2):
            first = self._fetch.batches[0]
            self._fetch.start += self._dice.below(first.next_offset - self._fetch.start)

    def _record(self, oddness: float, serial: int) -> AnyRecord:
        """Return a record, mostly of a new customer."""
        dice = self._dice
        if self._known and dice.chance(0.2):
            who = dice.pick(self._known)
        else:
            self._known.append(who := any_customer(dice))
        make = odd_record if dice.chance(oddness) else usual_record
        return make(dice, self._fetch.kind, who, serial)

    def _placed(self, records: list[AnyRecord]) -> tuple[list[RawRecord], BatchHeader]:
        """Give offsets to the records, with gaps if the batch was compacted."""
        dice, offset = self._dice, self._offset
        is_compacted = dice.chance(0.1)
        has_any_names = dice.chance(0.4)  # one name that is not UTF-8 makes a batch be unpacked in another way
        placed = []
        for each in records:
            offset += dice.below(3) if is_compacted else 0
            headers = each.headers if has_any_names else _with_utf8_names(each.headers)
            placed.append(RawRecord(offset, each.timestamp, each.key, each.value, headers))
            offset += 1
        header = BatchHeader(
            self._offset,
            dice.pick(_CODECS),
            epoch=dice.below(3) - 1,
            producer=(dice.below(5) - 1, 0, 0),
            last_offset=offset - 1 + dice.below(3) if is_compacted else offset - 1,
            base_timestamp=records[0].timestamp if dice.chance(0.97) else dice.pick(EXTREME_TIMES),
            append_time=dice.pick((1_782_820_800_000, 0, -1, 2**62)) if dice.chance(0.1) else None,
        )
        return placed, header

    def _in_transaction(self, batch: Batch) -> Batch:
        dice = self._dice
        producer_id = 1_000_000 + batch.header.base_offset
        kind = dice.pick((ABORT, COMMIT))
        self._open.append((kind, producer_id))
        header = replace(batch.header, flags=TRANSACTIONAL, producer=(producer_id, 0, 0))
        return replace(batch, header=header, is_aborted=kind == ABORT)

    def _end_transaction(self) -> None:
        if self._open:
            kind, producer_id = self._open.pop(self._dice.below(len(self._open)))
            self._fetch.parts.append(Marker(self._offset, kind, producer_id))
            self._offset += 1

    def _add_empty(self) -> None:
        """Add a batch whose records compaction removed; brokers keep it for the state of its producer."""
        last = self._offset + self._dice.below(4)
        self._fetch.parts.append(Batch(BatchHeader(self._offset, last_offset=last, producer=(3, 0, 0)), []))
        self._offset = last + 1
