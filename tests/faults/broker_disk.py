"""One of the two disks of a broker runs full, so that the broker takes its logs offline; then there is room again."""

import os
import random
import shutil
import time
from pathlib import Path

from tests.faults.disk import fill, mount_small_disk, unmount
from tests.faults.fault import Fault
from tests.faults.play import Play
from tests.support.kafka.local import LocalNode

ROOM = 32 * 1024 * 1024
OFFLINE_S = (2.0, 10.0)
NOTICE_LIMIT_S = 60.0
IN_SYNC_LIMIT_S = 90.0


def faults() -> list[Fault]:
    """Return the only one."""
    return [Fault("disk full on a broker", _run_full)]


def _run_full(play: Play, rng: random.Random) -> str:
    """Fill the disk of a broker that leads its share of partitions; they move to the others, the broker runs on."""
    cluster = play.cluster
    number = rng.randrange(len(cluster.kafka.nodes))
    node = cluster.kafka.nodes[number]
    play.on_cleanup(cluster.wait_until_whole)
    _move(play, node)
    cluster.wait_until_in_sync()
    cluster.prefer_leaders()
    filler = _disk(node) / "filler"
    _allocate_indexes(_disk(node))
    fill(filler, _disk(node))
    cluster.wait_for(lambda: bool(cluster.not_in_sync(number)), "logs offline", NOTICE_LIMIT_S)
    time.sleep(rng.uniform(*OFFLINE_S))  # its length is part of the fault
    offline = len(cluster.not_in_sync(number))
    filler.unlink()
    _move_back(node)
    cluster.wait_until_in_sync()
    return f"{offline} partitions offline on a broker"


def _disk(node: LocalNode) -> Path:
    return node.disks[1]


def _whole(node: LocalNode) -> Path:
    return _disk(node).with_name("whole")


def _move(play: Play, node: LocalNode) -> None:
    """Restart the broker with its second disk replaced by a small one."""
    disk, whole = _disk(node), _whole(node)
    node.stop()
    disk.rename(whole)
    disk.mkdir()
    used = sum(file.stat().st_size for file in whole.rglob("*") if file.is_file())
    indexes = 2 * 65_536 * sum(1 for _ in whole.rglob("*.log"))
    mount_small_disk(play, disk, size=used + indexes + ROOM)
    shutil.copytree(whole, disk, dirs_exist_ok=True)
    node.restart()


def _move_back(node: LocalNode) -> None:
    """Restart the broker with the records of the small disk on the disk that it had before."""
    disk, whole = _disk(node), _whole(node)
    node.stop()
    shutil.rmtree(whole)
    shutil.copytree(disk, whole)
    unmount(disk)
    disk.rmdir()
    whole.rename(disk)
    node.restart()


def _allocate_indexes(disk: Path) -> None:
    """Allocate the indexes, which are sparse and mapped into memory: a full disk there ends a Java process at once."""
    for index in disk.rglob("*index"):
        with index.open("r+b") as opened:
            if size := index.stat().st_size:
                os.posix_fallocate(opened.fileno(), 0, size)
