"""Result of a check."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """Result of a check. `advice` is the remedy if it failed.

    A check that could not be made has `is_known` false: it passes with a warning.
    """

    name: str
    is_well: bool
    found: str
    advice: str = ""
    is_known: bool = True
