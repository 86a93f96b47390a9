"""Records at a steady pace, for what expires while a worker reads them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from tests.support.records import Message
from tests.support.stage import Stage

SIGNUP = (
    '{{"customer_id": "{}", "industry": "FinTech", "plan_tier": "growth", "signup_date": "2026-01-15", "mrr": "499"}}'
)
CANCELLATION = '{{"customer_id": "{}", "cancellation_date": "2026-06-30"}}'


def load(stage: Stage, seconds: float, each: Callable[[], None] = lambda: None) -> None:
    """Produce signups, cancellations and unreadable records, ten times a second."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ids = [str(uuid.uuid4()) for _ in range(20)]
        stage.produce([Message("signup", one.encode(), SIGNUP.format(one).encode()) for one in ids])
        stage.produce([Message("cancellation", one.encode(), CANCELLATION.format(one).encode()) for one in ids])
        stage.produce([Message("signup", b"k", b"no json")])
        each()
        time.sleep(0.1)  # the pace of the load
