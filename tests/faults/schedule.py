"""The order of faults, drawn from the seed: the same seed gives the same run."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.faults import (
    brokers,
    clock,
    disk,
    groups,
    inputs,
    kills,
    network,
    outputs,
    postgres,
    rights,
    session_defaults,
    standby,
    stores,
)
from tests.faults.chapter import Chapter
from tests.faults.fault import DUCKDB, POSTGRES, Fault

A_CHAPTER = 9
Family = Callable[[], list[Fault]]


# How many of each family a short run has, and what it always has.
SHORT: Mapping[str, tuple[Mapping[Family, int], Sequence[str]]] = {
    DUCKDB: (
        {kills.faults: 5, network.faults: 4, brokers.faults: 1},
        ("rebalances every few seconds", "the store truncated", "disk full at a commit",
         "an older copy of the store put back"),
    ),
    POSTGRES: (
        {kills.faults: 3, network.faults: 2, brokers.faults: 1, postgres.of_the_server: 3, postgres.of_a_worker: 3,
         standby.faults: 1},
        ("rebalances every few seconds", "worker frozen past its session"),
    ),
}  # fmt: skip


def short(seed: int, store: str = DUCKDB) -> Iterator[Chapter]:
    """About four minutes: some of each family."""
    rng = random.Random(seed)
    counts, always = SHORT[store]
    chosen = [fault for family, count in counts.items() for fault in rng.sample(_of(family, store), count)]
    chosen += [fault for fault in every_fault(store) if fault.name in always]
    rng.shuffle(chosen)
    yield from _chapters("short", chosen)


def full(seed: int, store: str = DUCKDB) -> Iterator[Chapter]:
    """Every kind once, in chapters, then whatever the seed draws, for as long as chapters are asked for."""
    rng = random.Random(seed)
    once = every_fault(store)
    rng.shuffle(once)
    yield from _chapters("every kind", once)
    often = [fault for fault in once if fault.name not in groups.SLOW and not _is_alone(fault)]
    number = 1
    while True:
        yield Chapter(f"drawn {number}", rng.sample(often, A_CHAPTER))
        number += 1


def only(names: Sequence[str], seed: int, store: str = DUCKDB) -> Iterator[Chapter]:
    """Yield chapters of all faults whose names contain one of these."""
    chosen = [fault for fault in every_fault(store) if any(name in fault.name for name in names)]
    random.Random(seed).shuffle(chosen)
    yield from _chapters(" and ".join(names), chosen)


def every_fault(store: str = DUCKDB) -> list[Fault]:
    """All kinds there are with this store."""
    families = (
        kills, network, brokers, groups, stores, disk, clock, inputs, outputs, rights, postgres, standby,
        session_defaults,
    )  # fmt: skip
    return [each for family in families for each in _of(family.faults, store)]


def _of(family: Family, store: str) -> list[Fault]:
    return [fault for fault in family() if store in fault.stores]


def _chapters(name: str, faults: Sequence[Fault]) -> Iterator[Chapter]:
    together = [fault for fault in faults if not _is_alone(fault)]
    for number, begin in enumerate(range(0, len(together), A_CHAPTER), start=1):
        yield Chapter(f"{name} {number}", together[begin : begin + A_CHAPTER])
    yield from (Chapter(fault.name, [fault]) for fault in faults if _is_alone(fault))


def _is_alone(fault: Fault) -> bool:
    """Return whether later records on the same topics could not be compared."""
    return fault.ends_play or fault.name == outputs.CUT
