"""A transaction of the relay runs out of time while its worker is frozen, and the broker aborts it."""

import random
import time
from pathlib import Path

from tests.faults import short_transactions
from tests.faults.fault import Fault
from tests.faults.kills import let_it_publish
from tests.faults.play import Play
from tests.support.worker_process import WorkerProcess

ABORT_LIMIT_S = 30.0
FROZEN = "T"


def faults() -> list[Fault]:
    """Return the only one."""
    return [Fault("a transaction aborted by the broker", _time_out)]


def _time_out(play: Play, rng: random.Random) -> str:
    """Freeze the publishing worker inside a transaction, and all others with it: none may end the transaction."""
    play.kill()
    worker = play.start(short_transactions.command(), FAILPOINT=f"in-transaction:{rng.randint(1, 3)}:STOP")
    if play.is_shared:
        let_it_publish(play, _is_frozen)
    play.wait_for(lambda: _is_frozen(worker), "frozen inside a transaction")
    for each in play.workers:
        each.freeze()
    began = time.monotonic()
    try:
        assert not play.is_stable(), "no transaction is open"
        play.wait_until_stable(ABORT_LIMIT_S)
    finally:
        for each in play.workers:
            each.thaw()
    return f"aborted after {time.monotonic() - began:.0f} s"


def _is_frozen(worker: WorkerProcess) -> bool:
    """Return whether a signal has stopped the process."""
    return Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[0] == FROZEN
