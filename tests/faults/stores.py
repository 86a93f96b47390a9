"""Faults of the store's file: an older copy is restored, the file is lost, truncated, overwritten."""

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.fault import DUCKDB, Fault, Inflict
from tests.faults.play import Play
from tests.support.stage import copy_of_store, delete_store

UNREACHABLE, STOPPED_FOR_SAFETY = 69, 70
ADVICE = "Restore a backup, or delete it to rebuild it"


def faults() -> list[Fault]:
    """All of them."""
    of_the_file: dict[str, Inflict] = {
        "an older copy of the store put back": _older_copy,
        "the store's log cut short": _log_cut_short,
        "the store truncated": _damaged(_truncate),
        "the store's head overwritten": _damaged(_overwrite_head),
        "the store's middle overwritten": _damaged(_overwrite_middle),
    }
    return [
        Fault("the store lost", _lost),
        *(Fault(name, inflict, stores=[DUCKDB]) for name, inflict in of_the_file.items()),
    ]


def _older_copy(play: Play, rng: random.Random) -> str:
    play.kill()
    copy = play.directory / f"older-{len(play.stage.workers)}"
    copy.mkdir()
    copy_of_store(play.stage, copy)
    play.start()
    play.recovered(time.monotonic())
    time.sleep(rng.uniform(1, 5))  # how much older it is
    play.kill()
    _put_back(play, copy)
    play.is_store_behind = True
    play.start()
    return "went on from the copy"


def _lost(play: Play, _: random.Random) -> str:
    play.kill_all()
    play.lose_store()
    play.is_store_behind = True
    play.start_all()
    return "rebuilt from the topics"


def _log_cut_short(play: Play, rng: random.Random) -> str:
    """Truncate the write-ahead log, as a power failure does; the commits before the cut stay."""
    play.kill()
    log = Path(f"{play.stage.store_file}.wal")
    assert log.exists(), "there was no write-ahead log to cut"
    size = log.stat().st_size
    kept = int(size * rng.uniform(0.2, 0.9))
    os.truncate(log, kept)
    play.is_store_behind = True
    play.start()
    return f"{kept:,} of {size:,} bytes kept"


def _damaged(damage: Callable[[Path, random.Random], str]) -> Inflict:
    """Return a fault that damages the file: the worker must refuse it at start, with advice; then restore the file."""

    def inflict(play: Play, rng: random.Random) -> str:
        assert play.worker.stop() == 0, play.worker.tail()  # so that all of it is in the file
        whole = play.directory / f"whole-{len(play.stage.workers)}"
        whole.mkdir()
        copy_of_store(play.stage, whole)
        what = damage(play.stage.store_file, rng)
        play.start()
        play.wait_until_refused(ADVICE, codes=(UNREACHABLE, STOPPED_FOR_SAFETY))
        code = play.worker.exit_code
        _put_back(play, whole)
        play.start()
        return f"{what}: refused with {code}"

    return inflict


def _truncate(file: Path, rng: random.Random) -> str:
    size = file.stat().st_size
    kept = int(size * rng.uniform(0.1, 0.9))
    os.truncate(file, kept)
    return f"{kept:,} of {size:,} bytes kept"


def _overwrite_head(file: Path, rng: random.Random) -> str:
    return _overwrite(file, 0, 4096, rng)


def _overwrite_middle(file: Path, rng: random.Random) -> str:
    size = file.stat().st_size
    return _overwrite(file, rng.randrange(size // 4, size // 2), size // 4, rng)


def _overwrite(file: Path, begin: int, count: int, rng: random.Random) -> str:
    with file.open("r+b") as opened:
        opened.seek(begin)
        opened.write(rng.randbytes(count))
    return f"{count:,} bytes from {begin:,}"


def _put_back(play: Play, copy: Path) -> None:
    delete_store(play.stage)
    for file in copy.iterdir():
        shutil.copy(file, play.stage.directory)
