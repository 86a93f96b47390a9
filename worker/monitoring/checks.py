"""The result of looking at one thing that a worker depends on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `advice` says what to do where it is not well.

    Where `is_known` is false, it could not be looked at: it counts as well, with a warning.
    """

    name: str
    is_well: bool
    found: str
    advice: str = ""
    is_known: bool = True
