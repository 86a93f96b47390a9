"""Checks at commit, under locks, of the rows that a batch has read: other workers may have committed meanwhile.

Final states need no check: a customer is never deleted, a signup never changed, a churn never undone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from worker.messages.record import TopicPartition
from worker.stores.changes import Changes, RecordCoordinates
from worker.stores.errors import StoreConflictError
from worker.stores.postgres import rows
from worker.stores.postgres.claims import Claims
from worker.stores.postgres.connection import Connection
from worker.stores.postgres.locks import Locks


def require_ownership(
    db: Connection,
    wanted: Collection[TopicPartition],
    read: Mapping[TopicPartition, int],
    claims: Claims,
    locked_only: Collection[TopicPartition] = (),
) -> None:
    """Lock these positions. Raises if one has changed since it was read, went back, or its partition was taken over.

    `read` has the positions that the batch has read. The positions of `locked_only` are locked with the others, in one
    order, and are not compared.
    """
    partitions = {*wanted, *locked_only}
    query = """
        SELECT topic, partition, next_offset, owner_epoch FROM positions
        JOIN unnest(%s::text[], %s::int[]) AS wanted (topic, partition) USING (topic, partition)
        ORDER BY topic, partition FOR UPDATE OF positions
    """
    found = db.execute(query, [[topic for topic, _ in partitions], [number for _, number in partitions]]).fetchall()
    stored = {(topic, partition): (offset or 0, epoch) for topic, partition, offset, epoch in found}
    offsets = {partition: stored.get(partition, (0, 0))[0] for partition in wanted}
    claims.require_committed(offsets, wanted)
    claims.require_owned({partition: stored.get(partition, (0, 0))[1] for partition in wanted})
    for partition, offset in offsets.items():
        name, expected = f"{partition[0]}/{partition[1]}", read.get(partition, offset)
        if offset != expected:
            raise StoreConflictError(f"{name} was advanced to {offset} by another worker, expected {expected}")


def decided(db: Connection, coordinates: Collection[RecordCoordinates]) -> set[RecordCoordinates]:
    """Return those of these records that have a decision."""
    found = db.execute(DECIDED, rows.coordinates(coordinates)).fetchall() if coordinates else []
    return set(map(RecordCoordinates._make, found))


# A join with the view would read all customers and events.
DECIDED = """
    SELECT wanted.topic, wanted.partition, wanted."offset"
    FROM unnest(%(topics)s::text[], %(partitions)s::int[], %(offsets)s::bigint[])
        AS wanted (topic, partition, "offset"),
        LATERAL (
            SELECT FROM journal
            WHERE journal.topic = wanted.topic AND journal.partition = wanted.partition
                AND journal."offset" = wanted."offset"
            LIMIT 1
        ) AS found
"""


def require_undecided(db: Connection, changes: Changes) -> None:
    """Raise if a record that had no decision has one now: a worker and a replay can read it at the same time.

    The transaction that decides such a record holds the lock on its partition's position.
    """
    if changes.undecided and decided(db, changes.undecided):
        raise StoreConflictError("another worker decided a record of this batch")


def pass_gate(db: Connection, locks: Locks, changes: Changes) -> None:
    """Serialise parking and signing up. Raises if a concurrent commit of the other kind was not seen."""
    parks = {parked.customer_id for parked in changes.parked.values()}
    if parks:
        locks.pass_gate(db, alone=True)
        query = "SELECT 1 FROM customers WHERE customer_id = ANY(%s::uuid[]) LIMIT 1"
        if db.execute(query, [rows.uuids(parks)]).fetchall():
            raise StoreConflictError(
                "a customer's signup was committed by another worker while a cancellation was being parked"
            )
    elif changes.new_customers:
        locks.pass_gate(db, alone=False)
    if changes.new_customers:
        query = 'SELECT topic, partition, "offset" FROM parked WHERE customer_id = ANY(%s::uuid[])'
        waiting = {tuple(row) for row in db.execute(query, [rows.uuids(changes.new_customers)]).fetchall()}
        if waiting - set(changes.released):
            raise StoreConflictError("a cancellation was parked by another worker while its signup was being committed")


def lock_changed(db: Connection, changes: Changes) -> None:
    """Lock the customers that change, in the order of their ids. Raises if one has churned meanwhile."""
    if not changes.changed_customers:
        return
    query = """
        SELECT churn_date FROM customers WHERE customer_id = ANY(%s::uuid[]) ORDER BY customer_id FOR UPDATE
    """
    found = db.execute(query, [rows.uuids(changes.changed_customers)]).fetchall()
    if len(found) != len(changes.changed_customers) or any(churned for (churned,) in found):
        raise StoreConflictError("another worker changed a customer of this batch")


def take_parked(db: Connection, changes: Changes) -> None:
    """Delete released and abandoned cancellations. Raises if another worker deleted some of them."""
    gone = changes.released + changes.abandoned
    if not gone:
        return
    parameters: dict[str, Any] = rows.coordinates(gone)
    query = """
        DELETE FROM parked USING unnest(%(topics)s::text[], %(partitions)s::int[], %(offsets)s::bigint[])
            AS gone (topic, partition, "offset")
        WHERE parked.topic = gone.topic AND parked.partition = gone.partition AND parked."offset" = gone."offset"
    """
    if db.execute(query, parameters).rowcount != len(set(gone)):
        raise StoreConflictError("another worker took a parked cancellation of this batch")
