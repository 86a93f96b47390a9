"""Parts of the model, their bounds, and mutations of the protocol that a check has to find."""

from __future__ import annotations

from dataclasses import dataclass

DUCKDB, RELAYS, CONSUMERS = "DUCKDB", "POSTGRES_RELAYS", "POSTGRES_CONSUMERS"
PARTS = {
    DUCKDB: "one worker on DuckDB",
    RELAYS: "relays of two workers on PostgreSQL",
    CONSUMERS: "consumers of two workers on PostgreSQL",
}

SAFETY = "safety"
"""Assertions, and a last state in which everything is done."""
PROGRESS = "progress"
"""No cycle of states: every run, whatever its order, comes to a last state."""


@dataclass(frozen=True)
class Bound:
    """A part with its bounds: at most `faults` faults, of them `cuts` of output topics and `restores` of the store."""

    part: str
    faults: int
    customers: int = 1
    letters: int = 1
    cuts: int = 1
    restores: int = 1
    mutation: tuple[str, ...] = ()

    @property
    def definitions(self) -> list[str]:
        """Definitions for Spin's preprocessor."""
        numbers = {
            "FAULTS": self.faults,
            "CUSTOMERS": self.customers,
            "LETTERS": self.letters,
            "CUTS": self.cuts,
            "RESTORES": self.restores,
        }
        return [f"-D{self.part}", *(f"-D{name}={number}" for name, number in numbers.items()), *self._mutated]

    @property
    def _mutated(self) -> list[str]:
        return [f"-D{name}" for name in self.mutation]

    def __str__(self) -> str:
        return (
            f"{PARTS[self.part]}: {2 * self.customers + self.letters} records, {self.faults} faults"
            f"{'' if self.restores else ', no restore'}"
        )


@dataclass(frozen=True)
class Check:
    """A check of one kind, within one bound."""

    bound: Bound
    kind: str = SAFETY


SMALL = (
    Check(Bound(DUCKDB, faults=1)),
    Check(Bound(DUCKDB, faults=2, restores=0)),
    Check(Bound(RELAYS, faults=1, restores=0)),
    Check(Bound(CONSUMERS, faults=2)),
    Check(Bound(DUCKDB, faults=1, restores=0), PROGRESS),
    Check(Bound(RELAYS, faults=1, restores=0), PROGRESS),
    Check(Bound(CONSUMERS, faults=1), PROGRESS),
)
"""Seconds, for CI."""

FULL = (
    Check(Bound(RELAYS, faults=2, restores=0)),
    Check(Bound(DUCKDB, faults=2)),
    Check(Bound(DUCKDB, faults=1, customers=2)),
    Check(Bound(RELAYS, faults=1)),
    Check(Bound(DUCKDB, faults=2, customers=2, restores=0)),
    Check(Bound(DUCKDB, faults=3, restores=0)),
    Check(Bound(CONSUMERS, faults=2, customers=2)),
    Check(Bound(CONSUMERS, faults=3)),
    Check(Bound(RELAYS, faults=1), PROGRESS),
    Check(Bound(DUCKDB, faults=2, restores=0), PROGRESS),
    Check(Bound(DUCKDB, faults=1), PROGRESS),
    Check(Bound(CONSUMERS, faults=2), PROGRESS),
)
"""Minutes; the longest come first."""


@dataclass(frozen=True)
class Mutation:
    """A broken protocol. `found` are the properties of which its check has to violate one."""

    name: str
    bound: Bound
    found: tuple[str, ...]


TWICE, STALE, MARKED = "event_published_twice", "stale_leader_published", "marked_unpublished"
AHEAD, TWO_ROWS, UNFINISHED = "position_ahead_of_effects", "event_has_two_rows", "not_finished"


def _mutation(words: str, part: str, faults: int, found: str, *names: str, restores: int = 1) -> Mutation:
    return Mutation(words, Bound(part, faults, restores=restores, mutation=names), (found,))


MUTATIONS = (
    _mutation("no fencing", DUCKDB, 1, STALE, "NO_FENCING", restores=0),
    _mutation("no fencing between leaders", RELAYS, 1, STALE, "NO_FENCING", restores=0),
    _mutation("receipts not read", DUCKDB, 1, TWICE, "RECEIPTS_NOT_READ"),
    _mutation("receipts read before fencing", RELAYS, 1, TWICE, "RECEIPTS_BEFORE_FENCING", restores=0),
    _mutation("uncommitted records as receipts", DUCKDB, 1, MARKED, "READ_UNCOMMITTED"),
    _mutation("receipts without rows not kept", DUCKDB, 1, TWICE, "RECEIPTS_NOT_KEPT"),
    _mutation("position before its effects", DUCKDB, 1, AHEAD, "POSITIONS_APART", "POSITIONS_FIRST"),
    _mutation("position after its effects", DUCKDB, 1, TWO_ROWS, "POSITIONS_APART"),
    _mutation("start at the group's offset", DUCKDB, 1, UNFINISHED, "START_AT_GROUP_OFFSET"),
    _mutation("mark before the commit", DUCKDB, 1, MARKED, "MARK_BEFORE_COMMIT"),
    _mutation("mark with the ends of the logs", DUCKDB, 1, TWICE, "ENDS_OF_THE_LOG"),
    _mutation("id by chance", DUCKDB, 1, TWICE, "ID_BY_CHANCE"),
    _mutation("backlog kept through a recovery", DUCKDB, 1, TWICE, "BACKLOG_NOT_FORGOTTEN"),
    _mutation("cut output topic ignored", DUCKDB, 2, TWICE, "CUT_IGNORED", restores=0),
    _mutation("output topics not identified", DUCKDB, 2, TWICE, "OUTPUTS_NOT_IDENTIFIED", restores=0),
    _mutation("leader's epoch not compared", RELAYS, 1, UNFINISHED, "EPOCH_NOT_COMPARED", restores=0),
    _mutation("mark with a later leadership's epoch", RELAYS, 2, TWICE, "MARK_WITH_NEXT_EPOCH", restores=0),
    _mutation("leadership outlives the connection", RELAYS, 1, TWICE, "LEADERSHIP_OUTLIVES_CONNECTION"),
    _mutation("lost commits overlooked", CONSUMERS, 1, AHEAD, "COMMITS_NOT_EXPECTED"),
    _mutation("gate not passed", CONSUMERS, 1, UNFINISHED, "GATE_NOT_PASSED"),
    _mutation(
        "neither owner nor position compared", CONSUMERS, 1, TWO_ROWS, "OWNER_NOT_COMPARED", "POSITIONS_NOT_COMPARED"
    ),
)
