"""The report of a committed batch."""

from __future__ import annotations

from datetime import datetime

import msgspec


class BatchReport(msgspec.Struct, frozen=True):
    """The last committed batch: time of the commit, number of records, outcomes, and duration."""

    at: datetime
    records: int
    outcomes: dict[str, int]
    replayed: int
    seconds: float
