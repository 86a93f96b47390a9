"""One, two and four workers on PostgreSQL beside the one on DuckDB: the same records, in turn, in one run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from rich.table import Table

from tests.benchmarks import contest, contestants, traffic
from tests.support.postgres.server import WheelPostgres, fresh_schema

DUCKDB = "DuckDB"


@dataclass(frozen=True)
class WithServer:
    """A run's figures: those of the workers together, and PostgreSQL's beside them."""

    seconds: float
    cpu_seconds: float
    peak_mib: int
    repeats: int
    server_cpu_seconds: float = 0.0
    wal_bytes: int = 0


def on_duckdb(bootstrap_servers: str, topics: traffic.Topics, directory: Path, wanted: int) -> WithServer:
    """Measure the worker on a fresh DuckDB file."""
    contestant = contestants.worker(bootstrap_servers, topics, directory)
    figures = _run(bootstrap_servers, contestant, directory, wanted, 1)
    for file in directory.glob("run-*.duckdb*"):
        file.unlink()
    return WithServer(figures.seconds, figures.cpu_seconds, figures.peak_mib, figures.repeats)


def on_postgres(
    bootstrap_servers: str, topics: traffic.Topics, directory: Path, wanted: int, server: WheelPostgres, workers: int
) -> WithServer:
    """So many workers, started at once, on a fresh schema."""
    with _schema(server) as url, closing(psycopg.connect(server.url, autocommit=True)) as admin:
        admin.execute("CHECKPOINT")  # what came before is not to be written at this run's cost
        cpu, wal = server_cpu_seconds(server), wal_bytes(admin)
        contestant = contestants.worker(bootstrap_servers, topics, directory, url)
        figures = _run(bootstrap_servers, contestant, directory, wanted, workers)
        cpu, wal = server_cpu_seconds(server) - cpu, wal_bytes(admin) - wal
    return WithServer(figures.seconds, figures.cpu_seconds, figures.peak_mib, figures.repeats, cpu, wal)


def _run(
    bootstrap_servers: str, contestant: contestants.Contestant, directory: Path, wanted: int, workers: int
) -> contest.Figures:
    command, environment = contestant.command, contestant.environment
    log = directory / "log"
    return contest.run(bootstrap_servers, contestant.output, wanted, command, environment, log, workers)


@contextmanager
def _schema(server: WheelPostgres) -> Iterator[str]:
    """Yield the address of an empty schema, which is dropped when the block ends."""
    url = fresh_schema(server)
    try:
        yield url
    finally:
        with psycopg.connect(url, autocommit=True) as admin:
            [(name,)] = admin.execute("SELECT current_schema()").fetchall()
            admin.execute("SET client_min_messages = warning")  # not a word about each table
            admin.execute(f"DROP SCHEMA {name} CASCADE".encode())


def server_cpu_seconds(server: WheelPostgres) -> float:
    """Return the CPU time that all processes of a PostgreSQL have used, those that have ended included."""
    first = server.pid
    ticks = sum(_ticks(first, 4))
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_child = int(_fields(int(process.name))[1]) == first
            ticks += sum(_ticks(int(process.name), 2)) if is_child else 0
        except OSError:  # it has ended meanwhile
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def _ticks(pid: int, count: int) -> list[int]:
    """User's and system's time of a process, then that of its children that have ended."""
    return [int(field) for field in _fields(pid)[11 : 11 + count]]


def _fields(pid: int) -> Sequence[str]:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def wal_bytes(admin: psycopg.Connection) -> int:
    """Return the bytes that PostgreSQL has written to its WAL."""
    return int(admin.execute("SELECT pg_current_wal_lsn() - '0/0'").fetchall()[0][0])


def table(medians: dict[str, dict[str, float]], events: int) -> Table:
    """Return the figures of each contestant, beside DuckDB's."""
    shown = Table("", *medians)
    duckdb = medians[DUCKDB]

    def both(run: dict[str, float]) -> float:
        return run["cpu_seconds"] + run["server_cpu_seconds"]

    for title, places, figure in (
        ("events/s", 0, lambda run: events / run["seconds"]),
        ("of DuckDB's", 2, lambda run: duckdb["seconds"] / run["seconds"]),
        ("workers' CPU µs an event", 1, lambda run: run["cpu_seconds"] / events * 1e6),
        ("PostgreSQL's CPU µs an event", 1, lambda run: run["server_cpu_seconds"] / events * 1e6),
        ("CPU of both, of DuckDB's", 2, lambda run: both(run) / both(duckdb)),
        ("cores that both keep busy", 2, lambda run: both(run) / run["seconds"]),
        ("WAL bytes an event", 0, lambda run: run["wal_bytes"] / events),
        ("workers' peak MiB, all together", 0, lambda run: run["peak_mib"]),
        ("events seen more than once", 0, lambda run: run["repeats"]),
    ):
        shown.add_row(title, *(f"{figure(run):,.{places}f}" for run in medians.values()))
    return shown
