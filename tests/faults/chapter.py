"""A chapter: some faults on one play, then quiet, and everything compared with the oracle."""

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.cluster import Cluster
from tests.faults.fault import DUCKDB, POSTGRES, Fault, Result
from tests.faults.invariants import require_same_money, require_same_readings
from tests.faults.play import Play
from tests.support.comparison import require_as_expected

QUIET_WITHIN_S = 60.0
REPLAY_LIMIT_S = 120.0


@dataclass(frozen=True)
class Chapter:
    """`faults` befall one play, one after the other; `allowed` are settings for the replay at its end."""

    name: str
    faults: Sequence[Fault]


class ChapterFailed(AssertionError):
    """An invariant does not hold, or a fault did not heal."""


def run(
    chapter: Chapter, cluster: Cluster, seed: int, keep: Path, tell: Callable[[str], None], patience: float = 1.0
) -> Iterator[Result]:
    """Play it; gives each fault's result as soon as it is known. Raises `ChapterFailed`.

    `patience` multiplies the longest recovery of each fault. One that takes longer fails the chapter at its end, when
    everything else has been compared.
    """
    rng = random.Random(f"{seed}/{chapter.name}")
    play = Play(cluster, seed, keep)
    failed = True
    slow: list[str] = []
    step = "the first records"
    try:
        play.recovered(time.monotonic())
        for fault in chapter.faults:
            step = fault.name
            play.choose(rng)
            cluster.wait_until_in_sync()  # two brokers that are away at once, of three, leave too few replicas
            outcome = fault.inflict(play, rng)
            took = 0.0 if fault.ends_play else play.recovered(time.monotonic())
            yield _result(fault, play, chapter, outcome, took)
            if fault.ends_play:
                failed = False
                return
            if took > fault.recovery_s * patience:
                slow.append(f"{fault.name}: {took:.1f} s, more than {fault.recovery_s * patience:.0f} s")
        step = "quiet after the last fault"
        _settle(play)
        step = "everything compared with the oracle"
        _compare(play)
        if not play.cut:  # what was cut can no longer say what is published
            step = "a full replay into an empty store"
            _replay(play)
        tell(f"{play.load.sent:,} records, {len(play.watcher.records):,} published, {play.samples} looks at the store")
        step = "recovery in time"
        assert not slow, "; ".join(slow)
        failed = False
    except Exception as error:
        raise ChapterFailed(f"{chapter.name}, {step}: {error}") from error
    finally:
        play.close(failed=failed)


def _result(fault: Fault, play: Play, chapter: Chapter, outcome: str, recovery_s: float) -> Result:
    store = POSTGRES if play.is_shared else DUCKDB
    return Result(fault.name, store, chapter.name, outcome, recovery_s, os.getloadavg()[0])


def _settle(play: Play) -> None:
    """Within a minute after the last fault: no lag, nothing unpublished, no open transaction."""
    play.load.stop()
    deadline = time.monotonic() + QUIET_WITHIN_S
    play.stage.wait_until_consumed(play.worker, QUIET_WITHIN_S)
    try:
        play.wait_until_published(max(1.0, deadline - time.monotonic()))
    except AssertionError:
        play.stop_all()
        _compare(play)  # says what is missing
        raise
    play.wait_until_stable(max(1.0, deadline - time.monotonic()))
    play.stop_all()


def _compare(play: Play) -> None:
    stage = play.stage
    if play.cut:
        published = play.watcher.once()
    else:
        published = stage.published()
        play.watcher.wait_for(len(published))
    doubled = [name for name in play.watcher.doubled() if name not in play.cut]
    assert not doubled, f"a reader saw {len(doubled)} records more than once: {doubled[:5]}"
    if not play.cut:
        require_same_readings(play.watcher.records, published)
    wanted = stage.expected()
    require_as_expected(wanted, published, stage.store(), stage.topics, play.partitions_of_churned)
    with play.asking() as ask:
        require_same_money(ask, stage.topics.churned, wanted)
    play.is_store_behind = False
    play.look_at_the_dead()


def _replay(play: Play) -> None:
    """All topics again into an empty store: the same customers, and not one further record."""
    stage = play.stage
    before = len(stage.published())
    play.lose_store()
    wanted = len(stage.expected().outcomes)
    play.start_all()

    def all_read() -> bool:
        batches = [batch for worker in play.workers for batch in worker.events("batch applied")]
        return sum(int(str(batch["records"])) for batch in batches) >= wanted

    play.wait_for(all_read, "all read again", REPLAY_LIMIT_S)
    play.stop_all()
    after = len(stage.published())
    assert after == before, f"the replay published {after - before} further records"
    _compare(play)
