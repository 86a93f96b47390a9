"""What a fault is, and what is told of it afterwards."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.play import Play

Inflict = Callable[[Play, random.Random], str]


@dataclass(frozen=True)
class Fault:
    """One kind of harm. `inflict` does it, proves that it happened, leaves nothing broken, and says what came of it."""

    name: str
    inflict: Inflict


@dataclass
class Result:
    """One fault as it went."""

    fault: str
    chapter: str
    outcome: str
    recovery_s: float
