"""The PostgreSQL that many workers share is restarted, killed, frozen, cut off; so is the worker that publishes."""

import random
import time
from collections.abc import Callable

from tests.faults.database import Database
from tests.faults.fault import POSTGRES, Fault, Inflict
from tests.faults.network import in_weather
from tests.faults.play import ASK_EVERY_S, Play
from tests.faults.proxy import Weather

DEAD_S = (1.0, 8.0)
FROZEN_S = (4.0, 15.0)
SILENT_S = (4.0, 25.0)
ENDED = 10  # sessions
END_LIMIT_S = 60.0
TAKEN_OVER_WITHIN_S = 15.0  # a silent leader's session ends after 5


def faults() -> list[Fault]:
    """All of them."""
    return [*of_the_server(), *of_a_worker()]


def of_the_server() -> list[Fault]:
    """Faults of PostgreSQL, which every worker sees."""
    return _with_postgres({
        "PostgreSQL restarted": _restart,
        "PostgreSQL killed -9": _kill,
        "PostgreSQL frozen": _freeze,
        "sessions ended in their transactions": _end_transactions,
    })  # fmt: skip


def of_a_worker() -> list[Fault]:
    """Faults of one worker of many."""
    return _with_postgres({
        "worker cut off from PostgreSQL": _cut_off,
        "every connection to PostgreSQL cut": _cut,
        "partitions claimed by one who is gone": _claim,
        "publishing worker killed": _taken_over_from(_kill_worker),
        "publishing worker frozen": _taken_over_from(_freeze_worker),
        "publishing worker cut off from PostgreSQL": _taken_over_from(_silence_worker),
    })  # fmt: skip


def _with_postgres(kinds: dict[str, Inflict]) -> list[Fault]:
    return [Fault(name, inflict, stores=[POSTGRES]) for name, inflict in kinds.items()]


def _restart(play: Play, _: random.Random) -> str:
    began = time.monotonic()
    _database(play).server.restart()
    return f"away for {time.monotonic() - began:.1f} s"


def _kill(play: Play, rng: random.Random) -> str:
    seconds = rng.uniform(*DEAD_S)
    server = _database(play).server
    server.kill()
    play.on_cleanup(server.start)
    time.sleep(seconds)  # its length is the fault
    server.start()
    return f"dead for {seconds:.0f} s"


def _freeze(play: Play, rng: random.Random) -> str:
    seconds = rng.uniform(*FROZEN_S)
    server = _database(play).server
    server.pause()
    try:
        time.sleep(seconds)  # its length is the fault
    finally:
        server.resume()
    return f"frozen for {seconds:.0f} s"


def _end_transactions(play: Play, _: random.Random) -> str:
    database, store = _database(play), play.stage.settings["STORE__URL"]
    ended = 0
    deadline = time.monotonic() + END_LIMIT_S
    while ended < ENDED:
        ended += database.end_transactions(store)  # asked without a rest: a transaction lasts milliseconds
        assert time.monotonic() < deadline, f"only {ended} transactions were met"
    return f"{ended} sessions ended"


def _cut_off(play: Play, rng: random.Random) -> str:
    seconds = rng.uniform(*SILENT_S)
    answers = in_weather(_database(play).doors[play.slot], Weather.SILENT, seconds)
    return f"silent for {seconds:.0f} s after {answers} answers"


def _cut(play: Play, _: random.Random) -> str:
    cut = _database(play).doors[play.slot].cut()
    assert cut, "there was no connection to cut"
    return f"{cut} connections cut"


def _claim(play: Play, _: random.Random) -> str:
    """Claim all partitions like a delayed claim: whoever made it owns none any more, and the owners lose theirs."""
    return f"{_database(play).claim_all(play.stage.settings['STORE__URL'])} partitions claimed"


def _taken_over_from(harm: Callable[[Play], Callable[[], object]]) -> Inflict:
    """Hurt the worker that publishes: one that stood by has to publish within seconds. `harm` gives what ends it."""

    def inflict(play: Play, _: random.Random) -> str:
        play.turn_to_publisher()
        before = play.slot
        mend = harm(play)
        began = time.monotonic()
        try:
            while play.publisher() in (None, before):
                took = time.monotonic() - began
                assert took < TAKEN_OVER_WITHIN_S, f"nobody took over within {took:.0f} s"
                time.sleep(ASK_EVERY_S)
        finally:
            mend()
        return f"taken over after {time.monotonic() - began:.1f} s"

    return inflict


def _kill_worker(play: Play) -> Callable[[], object]:
    play.kill()
    return play.start


def _freeze_worker(play: Play) -> Callable[[], object]:
    play.worker.freeze()
    return play.worker.thaw


def _silence_worker(play: Play) -> Callable[[], object]:
    doors = _database(play).doors[play.slot]
    doors.weather = Weather.SILENT
    return lambda: setattr(doors, "weather", Weather.CLEAR)


def _database(play: Play) -> Database:
    assert play.cluster.database is not None
    return play.cluster.database
