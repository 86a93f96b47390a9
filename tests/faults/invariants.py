"""The invariants that hold at all times, and those that hold at the end."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import duckdb

from tests.faults.watcher import identity
from tests.support.oracle import Expected
from tests.support.records import Record
from tests.support.store_reader import Ask

SHOWN = 5


@contextmanager
def asking_the_dead(file: Path) -> Iterator[Ask]:
    """Yield queries on a stopped worker's file: on a copy, so that the next worker finds the file unchanged."""
    with tempfile.TemporaryDirectory() as directory:
        for part in file.parent.glob(f"{file.name}*"):
            shutil.copy(part, directory)
        with duckdb.connect(str(Path(directory) / file.name)) as store:
            yield lambda query: store.execute(query).fetchall()


def require_order_of_knowledge(ask: Ask, published: Sequence[str], mirrored: Mapping[tuple[str, int], int]) -> None:
    """Check that the store is ahead: committed offset ≤ `next_offset`, and whatever is published is in the outbox."""
    if not ask("SELECT 1 FROM information_schema.tables WHERE table_name = 'positions'"):
        return
    rows = ask("SELECT topic, partition, next_offset FROM positions WHERE next_offset IS NOT NULL")
    positions = {(topic, partition): offset for topic, partition, offset in rows}
    recorded = {identity for (identity,) in ask("SELECT id FROM outbox")}
    ahead = {place: offset for place, offset in mirrored.items() if offset > positions.get(place, 0)}
    assert not ahead, f"the group's offsets are ahead of the store: {ahead}, store: {positions}"
    unknown = [name for name in published if name not in recorded]
    assert not unknown, f"{len(unknown)} records are published that the store does not know: {unknown[:SHOWN]}"


def require_same_readings(all_along: Sequence[Record], afterwards: Sequence[Record]) -> None:
    """Check that a reader all along and one afterwards saw the same records, in the same order per partition."""
    first, second = _per_partition(all_along), _per_partition(afterwards)
    differing = [place for place in first.keys() | second.keys() if first.get(place, []) != second.get(place, [])]
    assert not differing, f"the reader all along saw something else than the one afterwards on {differing[:SHOWN]}"


def require_same_money(ask: Ask, churned: str, wanted: Expected) -> None:
    """Σ lost ARR in the outbox = the oracle's, to the cent; the topic's is compared with everything else."""
    values = ask(f"SELECT value FROM outbox WHERE topic = '{churned}'")
    waiting = ask("SELECT count(*) FROM receipts")[0][0]
    total = sum((Decimal(json.loads(value)["lost_arr"]["amount"]) for (value,) in values), Decimal(0))
    assert total == wanted.lost_arr, f"lost ARR in the outbox: {total} instead of {wanted.lost_arr}"
    assert waiting == 0, f"{waiting} receipts are of records that the store never decided"


def _per_partition(records: Sequence[Record]) -> dict[tuple[str, int], list[tuple[int, str]]]:
    found: dict[tuple[str, int], list[tuple[int, str]]] = {}
    for record in records:
        found.setdefault((record.topic, record.partition), []).append((record.offset, identity(record)))
    return found
