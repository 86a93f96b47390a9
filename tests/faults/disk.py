"""The disk under the store runs full, at a commit and at a checkpoint, and has room again."""

import os
import random
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.faults import small_wal
from tests.faults.fault import DUCKDB, POSTGRES, Fault
from tests.faults.play import Play
from tests.support.corpus import make_corpus
from tests.support.stage import PARTITIONS, copy_of_store

SIZE = 256 * 1024 * 1024
FILL_LIMIT_S = 150.0  # how fast the log grows depends on how many records a batch has, and so on the machine
CUSTOMERS_AT_ONCE = 200  # few enough for the room of the write-ahead log
FAILED = "batch failed, retrying"


def faults() -> list[Fault]:
    """All of them."""
    return [
        Fault("disk full at a commit", _at_a_commit, stores=[DUCKDB]),
        Fault("disk full at a checkpoint", _at_a_checkpoint, stores=[DUCKDB]),
        Fault("PostgreSQL's disk full", _under_postgres, stores=[POSTGRES]),
    ]


def _at_a_commit(play: Play, _: random.Random) -> str:
    _move_to_a_small_disk(play)
    play.start()
    return _run_full(play)


def _at_a_checkpoint(play: Play, rng: random.Random) -> str:
    """Leave room for the write-ahead log, and none for new blocks of the file, which further customers take."""
    _move_to_a_small_disk(play)
    play.start(small_wal.command())
    return _run_full(play, small_wal.CHECKPOINT_AT_WAL_BYTES * 2, lambda: _sign_up(play, rng))


def _under_postgres(play: Play, _: random.Random) -> str:
    """Fill a small disk that holds the tables but not the server's own log, without which no PostgreSQL goes on."""
    database = play.cluster.database
    assert database is not None
    disk = Path(tempfile.mkdtemp(prefix="faults-disk-"))
    play.on_cleanup(disk.rmdir)
    mount_small_disk(play, disk, f",uid={database.server.user_id},mode=0700")
    undo = database.move(play.stage.settings["STORE__URL"], disk)
    play.on_cleanup(undo)
    return _fill_until_noticed(play, disk)


def _sign_up(play: Play, rng: random.Random) -> None:
    corpus = make_corpus(CUSTOMERS_AT_ONCE, PARTITIONS, seed=rng.randrange(1 << 30), troubles=False)
    play.stage.produce(corpus.signups)


def _run_full(play: Play, room: int = 0, grow: Callable[[], None] = lambda: None) -> str:
    worker = play.worker
    play.wait_for(lambda: bool(worker.events("batch applied")), "a first batch on the small disk")
    return _fill_until_noticed(play, play.stage.directory, room, grow)


def _fill_until_noticed(play: Play, disk: Path, room: int = 0, grow: Callable[[], None] = lambda: None) -> str:
    filler = disk / "filler"
    before = len(_failures(play))
    fill(filler, disk, room)

    def noticed() -> bool:
        grow()
        return len(_failures(play)) > before

    try:
        play.wait_for(noticed, "a batch that failed for want of room", FILL_LIMIT_S)
    finally:
        filler.unlink()
    return _failures(play)[-1].split(": ", 1)[-1][:60]


def _failures(play: Play) -> list[str]:
    return [str(failed.get("error", "")) for worker in play.workers for failed in worker.events(FAILED)]


def fill(filler: Path, disk: Path, room: int = 0) -> None:
    """Fill the disk with one file, but for this room."""
    free = os.statvfs(disk)
    with filler.open("wb", buffering=0) as opened:
        with suppress(OSError):  # the worker writes, too
            os.posix_fallocate(opened.fileno(), 0, free.f_bavail * free.f_frsize - room)
        if room == 0:
            opened.seek(0, os.SEEK_END)
            with suppress(OSError):
                while True:
                    opened.write(bytes(free.f_frsize))


def _move_to_a_small_disk(play: Play) -> None:
    """Kill the worker and bring its store to a small file system; it stays there."""
    play.kill()
    if os.path.ismount(play.stage.directory):
        return
    disk = play.directory / "disk"
    disk.mkdir()
    mount_small_disk(play, disk)
    copy_of_store(play.stage, disk)
    play.stage.directory = disk


def mount_small_disk(play: Play, at: Path, options: str = "", *, size: int = SIZE) -> None:
    """Mount a file system of this size; the end of the play unmounts it."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}{options}", "tmpfs", str(at)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert mounted.returncode == 0, f"a small file system needs root: {mounted.stderr}"
    play.on_cleanup(lambda: unmount(at))


def unmount(at: Path) -> None:
    """Unmount it; nothing where nothing is mounted there."""
    if os.path.ismount(at):
        subprocess.run(["umount", "--lazy", str(at)], check=False)
