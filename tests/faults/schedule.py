"""Which faults, in which order: drawn from the seed, so that the same seed gives the same run."""

import random
from collections.abc import Iterator, Sequence

from tests.faults import brokers, clock, disk, groups, kills, network, outputs, stores
from tests.faults.chapter import Chapter
from tests.faults.fault import Fault

A_CHAPTER = 9


def short(seed: int) -> Iterator[Chapter]:
    """About four minutes: some of each family."""
    rng = random.Random(seed)
    chosen = [
        *rng.sample(kills.faults(), 5),
        *rng.sample(network.faults(), 4),
        *rng.sample(brokers.faults(), 1),
        *_named("rebalances every few seconds", "the store truncated", "disk full at a commit"),
        *_named("an older copy of the store put back"),
    ]
    rng.shuffle(chosen)
    yield from _chapters("short", chosen)


def full(seed: int) -> Iterator[Chapter]:
    """Every kind once, in chapters, then whatever the seed draws, for as long as chapters are asked for."""
    rng = random.Random(seed)
    alone = _named(outputs.CUT)  # what is cut cannot be compared with what comes later
    once = [fault for fault in every_fault() if fault.name != outputs.CUT]
    rng.shuffle(once)
    yield from _chapters("every kind", once)
    yield Chapter(outputs.CUT, alone)
    often = [fault for fault in once if fault.name not in groups.SLOW]
    number = 1
    while True:
        yield Chapter(f"drawn {number}", rng.sample(often, A_CHAPTER))
        number += 1


def only(names: Sequence[str], seed: int) -> Iterator[Chapter]:
    """A chapter of all faults whose names contain one of these."""
    chosen = [fault for fault in every_fault() if any(name in fault.name for name in names)]
    random.Random(seed).shuffle(chosen)
    yield from _chapters(" and ".join(names), chosen)


def every_fault() -> list[Fault]:
    """All kinds there are."""
    families = (kills, network, brokers, groups, stores, disk, clock, outputs)
    return [each for family in families for each in family.faults()]


def _named(*names: str) -> list[Fault]:
    found = [fault for fault in every_fault() if fault.name in names]
    assert len(found) == len(names), names
    return found


def _chapters(name: str, faults: Sequence[Fault]) -> Iterator[Chapter]:
    for number, begin in enumerate(range(0, len(faults), A_CHAPTER), start=1):
        yield Chapter(f"{name} {number}", faults[begin : begin + A_CHAPTER])
