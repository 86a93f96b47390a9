"""What a running worker says of itself, beyond what its store says."""

from __future__ import annotations

from datetime import datetime

import msgspec

from worker.processing.report import BatchReport

STORE_HEADER = "customer-worker-store"
"""The header of an answer over HTTP that says which store it is about."""


class CheckReport(msgspec.Struct, frozen=True):
    """One thing that the worker's health depends on, and what was found."""

    name: str
    ok: bool
    found: str


class WorkerReport(msgspec.Struct, frozen=True):
    """A running worker. `checks` are what `/readyz` looks at."""

    version: str
    started_at: datetime
    checks: list[CheckReport]
    last_batch: BatchReport | None

    @property
    def is_ready(self) -> bool:
        """Whether it does its work now."""
        return all(check.ok for check in self.checks)
