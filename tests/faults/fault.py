"""A fault, and the result of inflicting it."""

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass

from tests.faults.play import Play

Inflict = Callable[[Play, random.Random], str]
DUCKDB, POSTGRES = "duckdb", "postgres"
STORES = (DUCKDB, POSTGRES)


@dataclass(frozen=True)
class Fault:
    """One kind of harm. `inflict` does it, proves that it happened, leaves nothing broken, and says what came of it.

    `stores` are those with which it can happen: one worker on DuckDB, or many on PostgreSQL. One that `ends_play`
    compares everything itself, and nothing can follow it on the same topics.
    """

    name: str
    inflict: Inflict
    stores: Collection[str] = STORES
    ends_play: bool = False


@dataclass
class Result:
    """One fault as it went."""

    fault: str
    chapter: str
    outcome: str
    recovery_s: float
