"""The disk under the store runs full, at a commit and at a checkpoint, and has room again."""

import os
import random
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.acceptance.stage import copy_of_store
from tests.faults import small_wal
from tests.faults.fault import DUCKDB, Fault
from tests.faults.play import Play

SIZE = 256 * 1024 * 1024
FILL_LIMIT_S = 60.0
FAILED = "batch failed, trying again"


def faults() -> list[Fault]:
    """Both."""
    return [
        Fault("disk full at a commit", _at_a_commit, stores=[DUCKDB]),
        Fault("disk full at a checkpoint", _at_a_checkpoint, stores=[DUCKDB]),
    ]


def _at_a_commit(play: Play, _: random.Random) -> str:
    _move_to_a_small_disk(play)
    play.start()
    return _run_full(play, room=0)


def _at_a_checkpoint(play: Play, _: random.Random) -> str:
    """Room for the write-ahead log, and none for the new blocks of the file."""
    _move_to_a_small_disk(play)
    play.start(small_wal.command())
    return _run_full(play, room=small_wal.CHECKPOINT_AT_WAL_BYTES * 2)


def _run_full(play: Play, room: int) -> str:
    disk = play.stage.directory
    filler = disk / "filler"
    worker = play.worker
    play.wait_for(lambda: bool(worker.events("batch applied")), "a first batch on the small disk")
    _fill(filler, disk, room)
    try:
        play.wait_for(lambda: bool(worker.events(FAILED)), "a batch that failed for want of room", FILL_LIMIT_S)
    finally:
        filler.unlink()
    return str(worker.events(FAILED)[0].get("error", "")).split(": ", 1)[-1][:60]


def _fill(filler: Path, disk: Path, room: int) -> None:
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
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    assert mounted.returncode == 0, f"a small file system needs root: {mounted.stderr}"
    play.on_cleanup(lambda: subprocess.run(["umount", "--lazy", str(disk)], check=False))
    copy_of_store(play.stage, disk)
    play.stage.directory = disk
