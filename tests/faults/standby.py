"""PostgreSQL's primary is killed and a standby is promoted in its place, or beside it while it still runs."""

import random
import time

from tests.faults.database import Database
from tests.faults.fault import POSTGRES, Fault
from tests.faults.play import Play
from tests.support.postgres.replication import Pair

LOST = "store lost commits"
REPLICATED_S = (0.5, 2.0)
BEHIND_S = (1.0, 5.0)
AWAY_S = (0.0, 6.0)
BOTH_S = (3.0, 8.0)
REPORTED_WITHIN_S = 15.0


def faults() -> list[Fault]:
    """With a synchronous standby nothing is lost; an asynchronous one may be an older copy of the store."""
    kinds = {
        "synchronous standby promoted": _synchronous,
        "asynchronous standby promoted": _asynchronous,
        "standby promoted beside its primary": _two_primaries,
    }
    return [Fault(name, inflict, stores=[POSTGRES]) for name, inflict in kinds.items()]


def _synchronous(play: Play, rng: random.Random) -> str:
    pair = _pair(play)
    pair.add_standby(is_synchronous=True)
    time.sleep(rng.uniform(*REPLICATED_S))  # commits that wait for the standby
    away = _fail_over(pair, rng)
    play.look_at_the_dead()  # whatever was published or mirrored before, the standby has
    return f"promoted after {away:.0f} s, nothing lost"


def _asynchronous(play: Play, rng: random.Random) -> str:
    pair = _pair(play)
    standby = pair.add_standby(is_synchronous=False)
    standby.catch_up()
    standby.disconnect()
    before = _losses(play)
    behind = rng.uniform(*BEHIND_S)
    time.sleep(behind)  # what the standby lacks
    play.is_store_behind = True
    away = _fail_over(pair, rng)
    play.wait_for(lambda: _losses(play) > before, "reported what the standby lacks", REPORTED_WITHIN_S)
    return f"promoted after {away:.0f} s, without the last {behind:.0f} s of commits"


def _two_primaries(play: Play, rng: random.Random) -> str:
    """One worker works on the promoted standby, the others on the former primary until that is stopped."""
    pair, database, store = _pair(play), _database(play), play.stage.settings["STORE__URL"]
    standby = pair.add_standby(is_synchronous=False)
    standby.catch_up()
    standby.disconnect()
    play.is_store_behind = True
    pair.promote()
    assert pair.former is not None
    play.restart(STORE__URL=database.url_for(play.slot, store, only=pair.primary))
    before = _losses(play)
    seconds = rng.uniform(*BOTH_S)
    time.sleep(seconds)  # its length is the fault
    pair.former.kill()
    play.wait_for(lambda: _losses(play) > before, "reported what the standby lacks", REPORTED_WITHIN_S)
    play.restart()
    return f"two primaries for {seconds:.0f} s"


def _fail_over(pair: Pair, rng: random.Random) -> float:
    """Kill the primary and promote the standby; returns the seconds between."""
    away = rng.uniform(*AWAY_S)
    pair.primary.kill()
    time.sleep(away)  # until an operator or a cluster manager promotes
    pair.promote()
    return away


def _losses(play: Play) -> int:
    """Return how often the workers have reported lost commits."""
    return sum(len(worker.events(LOST)) for worker in play.workers)


def _pair(play: Play) -> Pair:
    pair = _database(play).pair
    play.on_cleanup(pair.settle)
    return pair


def _database(play: Play) -> Database:
    assert play.cluster.database is not None
    return play.cluster.database
