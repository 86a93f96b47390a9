"""A fault, and the result of inflicting it."""

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass

from tests.faults.play import Play

Inflict = Callable[[Play, random.Random], str]
DUCKDB, POSTGRES = "duckdb", "postgres"
STORES = (DUCKDB, POSTGRES)
RECOVERY_S = 15.0
"""The longest recovery that a kind of fault may take, unless it states another."""


@dataclass(frozen=True)
class Fault:
    """One kind of harm. `inflict` does it, proves that it happened, leaves nothing broken, and says what came of it.

    `stores` are those with which it can happen: one worker on DuckDB, or many on PostgreSQL. One that `ends_play`
    compares everything itself, and nothing can follow it on the same topics. `recovery_s` is the longest recovery.
    """

    name: str
    inflict: Inflict
    stores: Collection[str] = STORES
    ends_play: bool = False
    recovery_s: float = RECOVERY_S


@dataclass
class Result:
    """One fault as it went; `load` is the load average of the machine afterwards."""

    fault: str
    store: str
    chapter: str
    outcome: str
    recovery_s: float
    load: float
