"""Report of a running worker: the state that is not in its store. It contains no customer data."""

from __future__ import annotations

from datetime import datetime

import msgspec

from worker.processing.report import BatchReport

REPORT_PATH = "/worker.json"
"""Path of the report on the HTTP server."""
STORE_HEADER = "customer-worker-store"
"""HTTP response header with the identity of the store."""


class CheckReport(msgspec.Struct, frozen=True):
    """Result of a health check."""

    name: str
    ok: bool
    found: str


class WorkerReport(msgspec.Struct, frozen=True):
    """State of a running worker. `checks` are those of `/readyz`."""

    version: str
    started_at: datetime
    checks: list[CheckReport]
    last_batch: BatchReport | None

    @property
    def is_ready(self) -> bool:
        """Whether all checks pass."""
        return all(check.ok for check in self.checks)
