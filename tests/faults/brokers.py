"""A broker killed, restarted or frozen: the one that keeps transactions, the group, or a partition; or all in turn."""

import random
import time
from collections.abc import Callable

from tests.faults.fault import Fault
from tests.faults.play import Play
from tests.support.kafka.cluster import Node

DEAD_S = (2.0, 12.0)  # the controller notices after 9
FROZEN_S = (5.0, 15.0)
SILENT_LIMIT_S = 15.0  # while brokers hand over what they lead

Part = Callable[[Play, random.Random], int]


def faults() -> list[Fault]:
    """Every part a broker can play, and every harm."""
    parts: dict[str, Part] = {
        "transaction coordinator": lambda play, _: play.cluster.transaction_coordinator(play.transactional_id),
        "group coordinator": lambda play, _: play.cluster.group_coordinator(play.stage.group),
        "leader of an input": lambda play, rng: play.cluster.leader(play.stage.topics.cancellation, rng.randrange(8)),
        "leader of an output": lambda play, rng: play.cluster.leader(play.stage.topics.churned, rng.randrange(8)),
    }
    return [
        Fault(f"{part} {harm}", _hurt(find, do))
        for part, find in parts.items()
        for harm, do in {"killed": _kill, "restarted": _restart, "frozen": _freeze}.items()
    ] + [Fault("all brokers restarted in turn", _roll)]


def _hurt(find: Part, do: Callable[[Node, Play, random.Random], str]) -> Callable[[Play, random.Random], str]:
    def inflict(play: Play, rng: random.Random) -> str:
        number = find(play, rng)
        outcome = do(play.cluster.kafka.nodes[number], play, rng)
        play.cluster.wait_until_whole()
        return outcome

    return inflict


def _kill(node: Node, play: Play, rng: random.Random) -> str:
    seconds = rng.uniform(*DEAD_S)
    node.kill()
    play.on_cleanup(play.cluster.wait_until_whole)
    time.sleep(seconds)  # its length is the fault
    node.restart()
    return f"dead for {seconds:.0f} s"


def _restart(node: Node, play: Play, _: random.Random) -> str:
    began = time.monotonic()
    node.stop()
    node.restart()
    return f"handed over and back in {time.monotonic() - began:.0f} s"


def _roll(play: Play, rng: random.Random) -> str:
    """Restart one broker after the other, each as soon as all replicas are in sync, as an upgrade does."""
    began = time.monotonic()
    nodes = list(play.cluster.kafka.nodes)
    rng.shuffle(nodes)
    for node in nodes:
        play.cluster.wait_until_in_sync()
        play.on_cleanup(play.cluster.wait_until_whole)
        node.stop()
        node.restart()
    play.cluster.wait_until_in_sync()
    silent = play.watcher.longest_silence(began)
    assert silent < SILENT_LIMIT_S, f"nothing was published for {silent:.0f} s while brokers restarted in turn"
    return f"all restarted in {time.monotonic() - began:.0f} s, published with pauses up to {silent:.0f} s"


def _freeze(node: Node, play: Play, rng: random.Random) -> str:
    seconds = rng.uniform(*FROZEN_S)
    node.pause()
    try:
        time.sleep(seconds)  # its length is the fault
    finally:
        node.resume()
    return f"frozen for {seconds:.0f} s"
