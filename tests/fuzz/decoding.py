"""Many chunks of records through decoding, in several processes; each difference is shrunk where it is found."""

import gc
import multiprocessing
import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from tests.fuzz.differences import Difference, Findings, compare
from tests.fuzz.fetches import CHUNK, Fetch, fetches
from tests.fuzz.readings import installed
from tests.fuzz.shrinking import shrunk

CHUNKS_AT_ONCE = 20
SLOWEST_FETCH_S = 10.0
STUCK_S = 300.0
MOST_DIFFERENCES = 3
"""A run ends after so many: each is shrunk, which takes seconds."""
_SHOWN_BYTES = 1_500


@dataclass(slots=True)
class Report:
    """Result of some chunks: counts, the differences as text, and the seconds of the slowest fetch."""

    findings: Findings = field(default_factory=Findings)
    differences: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def add(self, other: "Report") -> None:
        """Add the result of other chunks."""
        self.findings.outcomes.update(other.findings.outcomes)
        self.findings.messages.update(other.findings.messages)
        self.findings.events += other.findings.events
        self.differences += other.differences
        self.slowest_s = max(self.slowest_s, other.slowest_s)


def fuzz(seed: int, records: int, jobs: int, progress: Callable[[int, Report], None]) -> Report:
    """Compare all readings of so many records, rounded up to whole chunks; stops early after some differences."""
    chunks = range(-(-records // CHUNK))
    parts = [chunks[first : first + CHUNKS_AT_ONCE] for first in range(0, len(chunks), CHUNKS_AT_ONCE)]
    report, done = Report(), 0
    for part, found in zip(parts, _results(seed, parts, jobs), strict=False):
        report.add(found)
        done += len(part) * CHUNK
        progress(done, report)
        if len(report.differences) >= MOST_DIFFERENCES:
            break
    return report


def _results(seed: int, parts: list[range], jobs: int) -> Iterator[Report]:
    if jobs == 1:
        yield from (fuzz_chunks(seed, part) for part in parts)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("fork")) as pool:
        waiting = iter(parts)
        # A few ahead: results of parts to come would only be kept, and a stop would have to wait for them.
        running = [pool.submit(fuzz_chunks, seed, part) for part in islice(waiting, 2 * jobs)]
        while running:
            found = running.pop(0).result(STUCK_S)
            running += [pool.submit(fuzz_chunks, seed, part) for part in islice(waiting, 1)]
            yield found


def fuzz_chunks(seed: int, chunks: Iterable[int]) -> Report:
    """Compare all readings of these chunks."""
    report = Report()
    gc.disable()  # thousands of objects live as long as their fetch: collections take a third of the time
    with installed():
        for chunk in chunks:
            for fetch in fetches(seed, chunk):
                _fuzz_fetch(seed, fetch, report)
            gc.collect(0)
            if len(report.differences) >= MOST_DIFFERENCES:
                break
    gc.enable()
    return report


def _fuzz_fetch(seed: int, fetch: Fetch, report: Report) -> None:
    began = time.perf_counter()
    difference = compare(fetch, report.findings)
    seconds = time.perf_counter() - began
    report.slowest_s = max(report.slowest_s, seconds)
    if difference is None and seconds > SLOWEST_FETCH_S:
        difference = Difference(
            None, f"{sum(len(batch.records) for batch in fetch.batches)} records took {seconds:.1f} s"
        )
    if difference is not None:
        report.differences.append(described(seed, fetch, difference))


def described(seed: int, fetch: Fetch, difference: Difference) -> str:
    """Describe a difference: seed, index, smallest records that show it, and the command that repeats it."""
    index = fetch.index_of(difference.offset)
    smallest = shrunk(fetch, difference)
    again = compare(smallest, Findings()) or difference
    records = [record for batch in smallest.batches for record in batch.records]
    shown = [
        f"  {fetch.kind}, timestamp {record.timestamp}\n    key {_short(record.key)}\n    value {_short(record.value)}"
        f"\n    headers {_short(record.headers)}"
        for record in records[:5]
    ]
    return "\n".join(
        [
            f"record {index} of seed {seed}: {again.text[:_SHOWN_BYTES]}",
            f"smallest found: {len(records)} record(s), schema registry frames accepted: {fetch.accept_framed}",
            *shown,
            f"repeat: python -m tests.fuzz --seed {seed} --at {index}",
        ]
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_BYTES else f"{text[:_SHOWN_BYTES]}… ({len(text)} characters)"


def kinds_of_messages(report: Report) -> set[str]:
    """Return the distinct messages of rejections, without their numbers."""
    return {re.sub("[0-9]+", "#", message) for message in report.findings.messages}
