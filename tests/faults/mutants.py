"""Worse workers: with each of these the suite has to fail, or it cannot see."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from tests.faults.fault import DUCKDB, POSTGRES

TREE = Path(__file__).parents[2]
COPIED = ("domain", "worker", "tests")
LIMIT_S = 600
SEED = "7"


@dataclass(frozen=True)
class Mutant:
    """`edits` are (file, what is there, what is put there); `faults` are run on it, and must say one of `words`."""

    name: str
    edits: tuple[tuple[str, str, str], ...]
    faults: tuple[str, ...]
    words: tuple[str, ...]
    store: str = DUCKDB


LOST = ("customers with events: ", "dead letters: ")
DOUBLED = ("more than once", "more than one event")
MUTANTS = (
    Mutant(
        "send futures not awaited",
        (("worker/outbox/publisher.py", "            metadata = await acknowledged\n",
          ("            if not acknowledged.done() or acknowledged.exception():\n                continue\n"
          "            metadata = acknowledged.result()\n")),),
        ("an output refuses records",),
        ("noticed that its records were refused", *LOST),
    ),
    Mutant(
        "positions outside the transaction",
        (("worker/stores/duckdb/session.py",
          ("        with self._transaction():\n            yield\n"
          "            self._write_progress(progress)\n"),
          ("        self._write_progress(progress)\n"
          "        with self._transaction():\n            yield\n")),),
        ("kill -9 at before-commit",),
        ("outcomes: ", "published that the store does not know"),
    ),
    Mutant(
        "recover skipped",
        (("worker/outbox/recovery.py",
          "await keep_receipts(self._outputs, partitions, self._settings, self._store, self._thread)",
          'type("Nothing", (), {"found": 0, "cut": ()})'),),
        ("kill -9 at after-publish",),
        DOUBLED,
    ),
    Mutant(
        "the receipt read without read_committed",
        (("worker/kafka/clients.py", 'isolation_level="read_committed"', 'isolation_level="read_uncommitted"'),),
        ("kill -9 at in-transaction",),
        LOST,
    ),
    Mutant(
        "random ids",
        (("worker/messages/composer.py", "            id=churned_id(",
          "            id=str(__import__('uuid').uuid4()) or churned_id("),),
        ("the store lost",),
        DOUBLED,
    ),
    Mutant(
        "a failed batch sought past",
        (("worker/consumer/applier.py", "RETRY_FOR_SECONDS = 60.0", "RETRY_FOR_SECONDS = 0.0"),
         ("worker/consumer/applier.py",
          '                log.error("batch retries exhausted", batch=where, exc_info=error)\n',
          '                log.error("batch failed, retrying", error=str(error))\n                return\n')),
        ("disk full at a commit",),
        ("outcomes: ",),
    ),
    Mutant(
        "recover skipped by whoever takes over",
        (("worker/outbox/recovery.py",
          "await keep_receipts(self._outputs, partitions, self._settings, self._store, self._thread)",
          'type("Nothing", (), {"found": 0, "cut": ()})'),),
        ("kill -9 at after-publish",),
        DOUBLED,
        POSTGRES,
    ),
    Mutant(
        "a store that went back overlooked",
        (("worker/stores/postgres/claims.py",
          "positions.get(partition, 0) < committed\n", "positions.get(partition, 0) < -1\n"),),
        ("asynchronous standby promoted",),
        ("not reported what the standby lacks", *LOST),
        POSTGRES,
    ),
    Mutant(
        "an offset outside of the log reset by aiokafka",
        (("worker/consumer/subscriber.py", 'auto_offset_reset="none"', 'auto_offset_reset="earliest"'),),
        ("the log start moved past the position",),
        ("ended with", "did not end"),
    ),
    Mutant(
        "topic ids and last records not compared",
        (("worker/consumer/start_positions.py", "difference=differences.get(partition)", "difference=None"),),
        ("an input recreated with more records",),
        ("ended with", "did not end"),
    ),
    Mutant(
        "fetches by topic name",
        (("worker/kafka/topic_id_fetches.py", "{topic: self.topic_ids.get(topic) for", "{topic: None for"),
         ("worker/kafka/topic_id_fetches.py", "requested[each[0]] == self.topic_ids.get(each[0])", "True"),
         ("worker/consumer/input_watch.py", "LOOK_EVERY_SECONDS = 1.0", "LOOK_EVERY_SECONDS = 20.0")),
        ("an input recreated with more records",),
        ("customers: ", "journal: ", "did not end", "ended with"),
    ),
    Mutant(
        "changes of leaders overlooked",
        # A worker that was frozen past its session compares its logs as it joins again.
        (("worker/kafka/leader_changes.py", "self.found.add(partition)", "pass"),
         ("worker/consumer/subscriber.py", "session_timeout_ms=6_000", "session_timeout_ms=60_000")),
        ("an input truncated and written beyond",),
        ("ended with", "did not end", "customers: "),
    ),
)  # fmt: skip


def run(names: Collection[str], tell: Callable[[str], None]) -> bool:
    """Run the suite on the mutants with these names, all if there are none; returns whether all were caught."""
    caught = [_is_caught(mutant, tell) for mutant in MUTANTS if not names or mutant.name in names]
    return all(caught)


def _is_caught(mutant: Mutant, tell: Callable[[str], None]) -> bool:
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        tree = Path(directory)
        _copy(tree)
        for file, old, new in mutant.edits:
            _edit(tree / file, old, new, mutant)
        command = [sys.executable, "-m", "tests.faults", "--store", mutant.store, "--seed", SEED]
        command += ["--only", *mutant.faults]
        done = subprocess.run(
            command, cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S, check=False
        )
    _, _, failure = done.stdout.partition("FAILED: ")
    caught = done.returncode == 1 and any(words in failure for words in mutant.words)
    tell(f"{'caught' if caught else 'NOT CAUGHT'}: {mutant.name}")
    tell("  " + (failure or done.stdout[-2_000:]).strip()[:400].replace("\n", "\n  "))
    return caught


def _copy(tree: Path) -> None:
    for name in COPIED:
        shutil.copytree(TREE / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tree / ".cache").mkdir()
    (tree / ".cache" / "kafka-libs").symlink_to(TREE / ".cache" / "kafka-libs")


def _edit(file: Path, old: str, new: str, mutant: Mutant) -> None:
    text = file.read_text()
    if text.count(old) != 1:
        raise SystemExit(
            f"the mutant {mutant.name!r} no longer fits {file.name}: bring tests/faults/mutants.py up to date"
        )
    file.write_text(text.replace(old, new))
