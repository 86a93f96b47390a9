"""The report of a committed batch."""

from __future__ import annotations

from datetime import datetime

import msgspec


class BatchReport(msgspec.Struct, frozen=True):
    """The last batch that was committed: when, how many records, what they came to, and how long it took."""

    at: datetime
    records: int
    outcomes: dict[str, int]
    replayed: int
    seconds: float
