"""Failpoints: named points at which a test or the demo kills or freezes the process without any clean-up.

The environment of the process enables one: `CUSTOMER_WORKER_FAILPOINT=after-commit:3` kills it the third time that
point is reached, `after-commit:3:STOP` freezes it there (SIGSTOP). A disabled failpoint costs one call.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "CUSTOMER_WORKER_FAILPOINT"
POINTS = (
    "store-opened",
    "positions-set",
    "before-commit",
    "after-commit",
    "before-checkpoint",
    "after-checkpoint",
    "before-publish",
    "in-transaction",
    "after-publish",
    "before-mark",
    "after-mark",
    "before-mirror",
    "after-mirror",
    "predecessor-fenced",
    "in-recover",
    "before-receipts",
    "after-receipts",
    "drained",
)

_name, _count, _signal = (*os.environ.get(VARIABLE, "").split(":"), "", "")[:3]
_passes_left = int(_count or 1)


def _signal_at(name: str) -> None:
    global _passes_left  # noqa: PLW0603 - one process, one failpoint
    if name == _name:
        _passes_left -= 1
        if _passes_left == 0:
            os.kill(os.getpid(), signal.Signals[f"SIG{_signal or 'KILL'}"])


def _pass_by(name: str) -> None:
    pass


reach = _signal_at if _name else _pass_by
"""Called when the named point is reached."""
