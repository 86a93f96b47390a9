"""Records of customers who sign up, repeat and contradict themselves, and leave, in any form; as batches to be sent."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.fuzz.dice import Dice
from tests.fuzz.fetches import EXTREME_TIMES
from tests.fuzz.records import AnyRecord, odd_record, usual_record
from tests.fuzz.values import Customer, any_customer
from tests.support.envelope import Refused
from tests.support.murmur2 import partition_of
from tests.support.raw_batches import CODECS, TRANSACTIONAL, BatchHeader, RawRecord
from tests.support.reading import read
from tests.support.records import Kind, Record

PARTITIONS = 8
_SIZES = (1, 5, 20, 64, 100, 200, 500)
_LATEST_KNOWN = 5_000
Place = tuple[Kind, int]


class Sent(NamedTuple):
    """A batch to be sent. Those of one `transaction` are sent in it; None is no transaction."""

    kind: Kind
    partition: int
    records: list[RawRecord]
    header: BatchHeader
    transaction: int | None


@dataclass(slots=True)
class _Open:
    """A batch that is being filled."""

    size: int
    records: list[AnyRecord]


def traffic(seed: str, records: int) -> Iterator[Sent]:
    """Yield batches of so many records: the same for the same seed."""
    return _Traffic(Dice(seed)).batches(records)


class _Traffic:
    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._known: list[Customer] = []
        self._transaction = 0

    def batches(self, records: int) -> Iterator[Sent]:
        dice = self._dice
        opened: dict[Place, _Open] = defaultdict(lambda: _Open(dice.pick(_SIZES), []))
        oddness = 0.5
        for serial in range(records):
            if dice.chance(0.001):
                oddness = dice.pick((0.05, 0.5, 1.0))
            kind: Kind = "signup" if dice.chance(0.55) else "cancellation"
            record = self._record(kind, oddness, serial)
            place = kind, self._partition(kind, record)
            open_batch = opened[place]
            open_batch.records.append(record)
            if len(open_batch.records) >= open_batch.size:
                yield self._sent(place, opened.pop(place).records)
        for place, rest in opened.items():
            yield self._sent(place, rest.records)

    def _record(self, kind: Kind, oddness: float, serial: int) -> AnyRecord:
        dice = self._dice
        who = self._customer(kind)
        if kind == "signup" and dice.chance(0.02):
            who = who._replace(amount=f"{dice.below(1000)}.50")
        if kind == "cancellation" and dice.chance(0.05):
            who = who._replace(left_after=dice.pick((-1, -30, 5_000)))
        make = odd_record if dice.chance(oddness) else usual_record
        return make(dice, kind, who, serial)

    def _customer(self, kind: Kind) -> Customer:
        """Return a new customer, or one of those described before: most who leave have signed up."""
        dice = self._dice
        if self._known and dice.chance(0.15 if kind == "signup" else 0.9):
            latest = self._known[-_LATEST_KNOWN:] if dice.chance(0.05) else self._known
            return dice.pick(latest)
        self._known.append(who := any_customer(dice))
        return who

    def _partition(self, kind: Kind, record: AnyRecord) -> int:
        """Return the partition of the customer in the record: the result must not depend on the order of two."""
        headers = tuple((name.decode("utf-8", "surrogateescape"), value) for name, value in record.headers)
        try:
            said = read(kind, Record("", 0, 0, record.timestamp, record.key, record.value, headers))
        except Refused:
            return self._dice.below(PARTITIONS)
        return partition_of(said.customer_id.encode(), PARTITIONS)

    def _sent(self, place: Place, records: list[AnyRecord]) -> Sent:
        dice = self._dice
        placed = [
            RawRecord(offset, each.timestamp, each.key, each.value, each.headers) for offset, each in enumerate(records)
        ]
        transaction = None
        if dice.chance(0.03):
            self._transaction += dice.chance(0.5)
            transaction = self._transaction
        flags = 0 if transaction is None else TRANSACTIONAL
        base = placed[0].timestamp if dice.chance(0.98) else dice.pick(EXTREME_TIMES)
        codec = dice.pick(CODECS) if dice.chance(0.5) else "none"
        return Sent(*place, placed, BatchHeader(0, codec, flags, base_timestamp=base), transaction)
