"""Compares what a worker left behind with what the oracle says, and tells the first differences of each kind."""

import json
import re
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any

from tests.support.envelope import Moment, moment
from tests.support.murmur2 import partition_of
from tests.support.oracle import DEAD_LETTER_PREFIX, DeadLetter, Event, Expected
from tests.support.records import Coordinates, Record, Topics
from tests.support.store_reader import JournalRow, StoreContent

SHOWN = 5
PARTITIONS_OF_CHURNED = 8
ERROR_NAMES = (
    "topic", "partition", "offset", "timestamp", "group", "reason", "message", "app.version", "redrive.count",
)  # fmt: skip


def require_as_expected(
    wanted: Expected,
    published: Iterable[Record],
    store: StoreContent,
    topics: Topics,
    partitions_of_churned: Collection[int] = (PARTITIONS_OF_CHURNED,),
) -> None:
    """Raise `AssertionError` with all that differs, over the output topics and the store.

    `partitions_of_churned` is every number of partitions that the topic has had.
    """
    records = list(published)
    events = [record for record in records if record.topic == topics.churned]
    dead_letters = [record for record in records if record.topic != topics.churned]
    differences = [
        *_customers(wanted, store),
        *_events(wanted, events, partitions_of_churned),
        *_dead_letters(wanted, dead_letters),
        *_outcomes(wanted, store),
        *_event_ids(store, events),
    ]
    assert not differences, "\n".join(differences)


def _customers(wanted: Expected, store: StoreContent) -> list[str]:
    return _mapping("customers", wanted.customers, store.customers)


def _events(wanted: Expected, events: list[Record], partitions: Collection[int]) -> list[str]:
    repeated = [key for key, count in Counter(event.key for event in events).items() if count > 1]
    found = {(event.key or b"").decode(): event for event in events}
    differences = [f"{len(repeated)} customers have more than one event: {repeated[:SHOWN]}"] if repeated else []
    differences += _mapping("customers with events", dict.fromkeys(wanted.events), dict.fromkeys(found))
    wrong = [
        f"event of {customer_id}: {wrong}"
        for customer_id, event in wanted.events.items()
        if customer_id in found
        for wrong in event_differences(event, found[customer_id], partitions)
    ]
    differences += _first("events", wrong)
    ids = Counter(dict(event.headers).get("ce_id") for event in events)
    differences += [f"{identity!r} is the id of {count} events" for identity, count in ids.items() if count > 1][:SHOWN]
    schemas = {dict(event.headers).get("ce_dataschema") for event in events}
    if len(schemas) > 1:
        differences.append(f"ce_dataschema is not stable: {schemas}")
    lost = sum((Decimal(json.loads(event.value or b"")["lost_arr"]["amount"]) for event in events), Decimal(0))
    if lost != wanted.lost_arr:
        differences.append(f"lost ARR: {lost} instead of {wanted.lost_arr}")
    return differences


def event_differences(wanted: Event, found: Record, partitions: Collection[int]) -> list[str]:
    """List the differences between an event and the record found."""
    names = [name for name, _ in found.headers]
    headers = {name: (value or b"").decode() for name, value in found.headers}
    payload = json.loads(found.value or b"")
    wrong = []
    if payload != wanted.payload:
        wrong.append(f"payload {payload} instead of {wanted.payload}")
    if sorted(names) != sorted([*wanted.headers, "ce_id", "ce_time", "ce_dataschema"]):
        wrong.append(f"headers {names} instead of {sorted(wanted.headers)}, ce_id, ce_time and ce_dataschema")
        return wrong
    wrong += [
        f"{name} {headers[name]!r} instead of {text!r}"
        for name, text in wanted.headers.items()
        if headers[name] != text
    ]
    if not _is_time(headers["ce_time"], wanted.time):
        wrong.append(f"ce_time {headers['ce_time']} instead of {wanted.time}")
    if uuid.UUID(headers["ce_id"]).version != 5:
        wrong.append(f"ce_id {headers['ce_id']} is no UUIDv5")
    if not re.match(r"[a-z][a-z0-9+.-]*:.", headers["ce_dataschema"]):
        wrong.append(f"ce_dataschema {headers['ce_dataschema']} is no URI")
    if found.partition not in {partition_of(found.key or b"", count) for count in partitions}:
        wrong.append(f"lies on partition {found.partition}")
    return wrong


def _is_time(text: str, wanted: Moment) -> bool:
    """RFC 3339 in UTC, and the same moment."""
    is_plain = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", text, re.ASCII)
    return bool(is_plain) and moment(text) == wanted


def _dead_letters(wanted: Expected, letters: list[Record]) -> list[str]:
    found: dict[Coordinates, list[Record]] = {}
    for letter in letters:
        found.setdefault(_source(letter), []).append(letter)
    differences = _mapping("dead letters", dict.fromkeys(wanted.dead_letters), dict.fromkeys(found))
    repeated = [where for where, several in found.items() if len(several) > 1]
    if repeated:
        differences.append(f"{len(repeated)} records have more than one dead letter: {repeated[:SHOWN]}")
    wrong = []
    for where, due in wanted.dead_letters.items():
        for record in found.get(where, [])[:1]:
            wrong += [f"dead letter of {where}: {what}" for what in dead_letter_differences(due, record)]
    return differences + _first("dead letters", wrong)


def dead_letter_differences(due: DeadLetter, record: Record) -> list[str]:
    """List the differences between a dead letter and the record found."""
    told = [(name, value) for name, value in record.headers if name.startswith(DEAD_LETTER_PREFIX)]
    kept = tuple(pair for pair in record.headers if not pair[0].startswith(DEAD_LETTER_PREFIX))
    wrong = []
    if (record.topic, record.key, record.value) != (due.topic, due.key, due.value):
        wrong.append("not the same topic, key or value")
    if kept != due.headers:
        wrong.append(f"headers {kept[:SHOWN]} instead of {due.headers[:SHOWN]}")
    return wrong + _errors(told, due.errors)


def _errors(told: list[tuple[str, bytes | None]], wanted: Mapping[str, str]) -> list[str]:
    names = sorted(name.removeprefix(DEAD_LETTER_PREFIX) for name, _ in told)
    if names != sorted(ERROR_NAMES):
        return [f"says {names} instead of {sorted(ERROR_NAMES)}"]
    said = {name.removeprefix(DEAD_LETTER_PREFIX): (value or b"").decode() for name, value in told}
    wrong = [f".{name} is {said[name]!r} instead of {text!r}" for name, text in wanted.items() if said[name] != text]
    wrong += [f".{name} says nothing" for name in ("message", "app.version") if not said[name]]
    if not said["redrive.count"].isdigit():
        wrong.append(f".redrive.count is {said['redrive.count']!r}")
    return wrong


def _source(letter: Record) -> Coordinates:
    """Return the coordinates of a dead letter's record, from the last headers."""
    said = {
        name: (value or b"").decode(errors="replace")
        for name, value in letter.headers
        if name.startswith(DEAD_LETTER_PREFIX)
    }
    topic, partition, offset = (said.get(DEAD_LETTER_PREFIX + name, "?") for name in ("topic", "partition", "offset"))
    if not (partition.isdigit() and offset.isdigit()):
        return (f"{letter.topic} (says nothing of its source)", letter.partition, letter.offset)
    return (topic, int(partition), int(offset))


def _outcomes(wanted: Expected, store: StoreContent) -> list[str]:
    decisions = store.decisions()
    last = {where: (rows[-1].outcome, rows[-1].reason) for where, rows in decisions.items()}
    exchanged = set()
    differences = []
    for group in wanted.interchangeable:
        exchanged.update(group)
        found = sorted(str(last.get(where)) for where in group)
        if found != sorted(str(wanted.outcomes[where]) for where in group):
            differences.append(f"{group}, which say the same, ended as {found}")
    differences += _mapping(
        "outcomes",
        {where: outcome for where, outcome in wanted.outcomes.items() if where not in exchanged},
        {where: outcome for where, outcome in last.items() if where not in exchanged},
    )
    differences += _first("journal", [wrong for where, rows in decisions.items() for wrong in _rows(where, rows)])
    strange = [
        f"{where} applied to {decisions[where][-1].customer_id} instead of {customer_id}"
        for where, customer_id in wanted.applied_to.items()
        if where not in exchanged and where in decisions and decisions[where][-1].customer_id != customer_id
    ]
    differences += _first("applied", strange)
    return differences + _mapping("parked", dict.fromkeys(wanted.parked), dict.fromkeys(store.parked))


def _rows(where: Coordinates, rows: list[JournalRow]) -> list[str]:
    """List the errors in a record's rows: it is decided once, and a second time only if it was parked."""
    if len(rows) == 1 or [row.outcome for row in rows[:-1]] == ["parked"]:
        return []
    return [f"{where} has the rows {[row.outcome for row in rows]}"]


def _event_ids(store: StoreContent, events: list[Record]) -> list[str]:
    """List the differences between the events that the journal names and those published."""
    named = {
        row.event_id: row.customer_id for row in store.journal if row.event_id is not None and row.outcome == "applied"
    }
    published = {(dict(event.headers).get("ce_id") or b"").decode(): (event.key or b"").decode() for event in events}
    return _mapping("event ids in the journal", published, named)


def _mapping(what: str, wanted: Mapping[Any, object], found: Mapping[Any, object]) -> list[str]:
    missing = [key for key in wanted if key not in found]
    beyond = [key for key in found if key not in wanted]
    wrong = [
        f"{key}: {found[key]} instead of {wanted[key]}" for key in wanted if key in found and found[key] != wanted[key]
    ]
    differences = [f"{what}: {len(missing)} missing, such as {missing[:SHOWN]}"] if missing else []
    differences += [f"{what}: {len(beyond)} too many, such as {beyond[:SHOWN]}"] if beyond else []
    return differences + _first(what, wrong)


def _first(what: str, wrong: list[str]) -> list[str]:
    return [f"{what}: {len(wrong)} wrong, such as\n  " + "\n  ".join(wrong[:SHOWN])] if wrong else []
