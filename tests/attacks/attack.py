"""An attack, and the targets that attacks have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.attacks.target import Target


class NotPossible(Exception):
    """The attack cannot be tried on this machine; the message has the reason."""


@dataclass(frozen=True)
class Targets:
    """A worker without a token, and one with `target.TOKEN`."""

    open: Target
    with_token: Target


@dataclass(frozen=True)
class Attack:
    """An attack. `run` requires that it fails, and returns what was seen. Raises `AssertionError` if it succeeds."""

    name: str
    tried: str
    run: Callable[[Targets], str]
