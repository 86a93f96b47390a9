"""The worker beside the same job on Python frameworks, each in a virtual environment of its own."""

from __future__ import annotations

import hashlib
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

from tests.benchmarks import contest, contestants, traffic
from tests.benchmarks.contestants import Contestant
from tests.benchmarks.traffic import Topics

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).with_name("peers")
CACHE = ROOT / ".cache" / "peers"
INSTALL_LIMIT_S = 600
WORKER = "worker"


class PeerUnavailable(Exception):
    """A peer that cannot be installed; the message says why."""


@dataclass(frozen=True)
class Peer:
    """A framework: its program in `peers`, with a file of requirements beside it.

    A slow one gets fewer records: a `share` of those of the others.
    """

    name: str
    program: str
    share: float = 1.0


class Inputs(NamedTuple):
    """Topics with so many records, `events`, of which `churns` lead to an event."""

    topics: Topics
    churns: int
    events: int


class PerEvent(NamedTuple):
    """Figures of a run: `cpu_us` is the CPU time of an event, `repeats` counts events seen more than once."""

    events: float
    events_per_s: float
    cpu_us: float
    peak_mib: float
    repeats: float


PEERS = (
    Peer("Quix Streams, exactly-once", "quix_streams"),
    Peer("Bytewax, at-least-once", "bytewax_dataflow"),
    Peer("Faust, exactly_once", "faust_agent", 0.25),
)
_SHARES = {peer.share for peer in PEERS}


def measure(
    bootstrap_servers: str, directory: Path, customers: int, runs: int
) -> tuple[dict[str, PerEvent], dict[str, str]]:
    """Measure the worker and each peer in turn on fresh topics; returns medians, and why others have none."""
    inputs = {share: _inputs(bootstrap_servers, round(customers * share)) for share in {1.0, *_SHARES}}
    found: dict[str, list[PerEvent]] = {WORKER: []}
    reasons: dict[str, str] = {}
    for _ in range(runs):
        worker = contestants.worker(bootstrap_servers, inputs[1.0].topics, directory)
        found[WORKER].append(_measure(bootstrap_servers, worker, inputs[1.0], directory))
        for peer in (peer for peer in PEERS if peer.name not in reasons):
            records = inputs[peer.share]
            try:
                figures = _measure(
                    bootstrap_servers,
                    _contestant(peer, bootstrap_servers, records.topics, directory),
                    records,
                    directory,
                )
            except PeerUnavailable as unavailable:
                reasons[peer.name] = str(unavailable)
            except (AssertionError, subprocess.TimeoutExpired) as failed:
                found.pop(peer.name, None)
                reasons[peer.name] = f"did not complete: {_last_line(str(failed))}"
            else:
                found.setdefault(peer.name, []).append(figures)
    return {name: _median(each) for name, each in found.items()}, reasons


def _inputs(bootstrap_servers: str, customers: int) -> Inputs:
    topics = Topics(f"peers-{time.time_ns()}.")
    traffic.create(bootstrap_servers, topics)
    traffic.produce(bootstrap_servers, topics, customers)
    return Inputs(topics, customers // 2, customers + customers // 2)


def _measure(bootstrap_servers: str, contestant: Contestant, inputs: Inputs, directory: Path) -> PerEvent:
    command, environment = contestant.command, contestant.environment
    log = directory / "log"
    run = contest.run(bootstrap_servers, contestant.output, inputs.churns, command, environment, log)
    return PerEvent(
        inputs.events, inputs.events / run.seconds, run.cpu_seconds / inputs.events * 1e6, run.peak_mib, run.repeats
    )


def _median(runs: Sequence[PerEvent]) -> PerEvent:
    return PerEvent(*map(statistics.median, zip(*runs, strict=True)))


def _contestant(peer: Peer, bootstrap_servers: str, inputs: Topics, directory: Path) -> Contestant:
    """Return the peer with fresh state and a fresh group. Raises `PeerUnavailable`."""
    run = f"{peer.program.replace('_', '-')}-{time.time_ns()}"
    command = [str(_installed(peer)), "-m", f"tests.benchmarks.peers.{peer.program}"]
    arguments = [bootstrap_servers, run, str(directory / run), inputs.prefix]
    return Contestant([*command, *arguments], inputs.churned, {"PYTHONPATH": str(ROOT)})


def _installed(peer: Peer) -> Path:
    """Return the Python of the peer's environment, made anew where its requirements or this Python changed."""
    requirements = PROGRAMS / f"{peer.program}.txt"
    wanted = hashlib.sha256(f"{sys.version}\n{requirements.read_text()}".encode()).hexdigest()
    environment = CACHE / peer.program
    python, stamp = environment / "bin" / "python", environment / ".complete"
    if not (stamp.exists() and stamp.read_text() == wanted):
        shutil.rmtree(environment, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(environment)])
        _run([str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)])
        stamp.write_text(wanted)
    return python


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_LIMIT_S)
    except subprocess.CalledProcessError as failed:
        raise PeerUnavailable(f"not installed: {_last_line(failed.stderr or failed.stdout)}") from None
    except (subprocess.TimeoutExpired, OSError) as failed:
        raise PeerUnavailable(f"not installed: {type(failed).__name__}") from None


def _last_line(text: str) -> str:
    """Return the last line of an output that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no output")


def table(medians: Mapping[str, PerEvent], reasons: Mapping[str, str]) -> Table:
    """Return the figures, with the worker's relative to each peer's, and why others have none."""
    shown = Table("", *medians)
    ours = medians[WORKER]
    figures: Sequence[tuple[str, int, Callable[[PerEvent], float]]] = (
        ("events", 0, lambda run: run.events),
        ("events/s", 0, lambda run: run.events_per_s),
        ("the worker's to it", 2, lambda run: ours.events_per_s / run.events_per_s),
        ("CPU µs an event", 1, lambda run: run.cpu_us),
        ("the worker's to it", 3, lambda run: ours.cpu_us / run.cpu_us),
        ("peak MiB", 0, lambda run: run.peak_mib),
        ("the worker's to it", 2, lambda run: ours.peak_mib / run.peak_mib),
        ("events seen more than once", 0, lambda run: run.repeats),
    )
    for title, places, figure in figures:
        shown.add_row(title, *(f"{figure(run):,.{places}f}" for run in medians.values()))
    shown.add_section()
    for name, reason in reasons.items():
        shown.add_row(name, reason)
    return shown
