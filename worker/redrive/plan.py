"""Selection of the dead letters to redrive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from worker.stores.dead_letters import Group, Letter, State, grouped, total


class Plan(msgspec.Struct, frozen=True):
    """The letters to send, oldest first, and the number left out by reason."""

    letters: list[Letter]
    left_out: dict[str, int]

    @property
    def groups(self) -> list[Group]:
        """The selected letters by state and reason."""
        return grouped(self.letters)

    @property
    def arr_at_stake(self) -> Decimal:
        """ARR at stake of the selected letters."""
        return total(self.letters)


def plan(letters: Sequence[Letter], max_redrives: int) -> Plan:
    """Select the open letters that were redriven fewer than `max_redrives` times."""
    left_out: Counter[str] = Counter()
    chosen = []
    for letter in letters:
        if letter.state is not State.OPEN:
            left_out[letter.state.value] += 1
        elif letter.redrives >= max_redrives:
            left_out["redriven_too_often"] += 1
        else:
            chosen.append(letter)
    return Plan(chosen, dict(left_out))
