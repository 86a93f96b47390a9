"""The store in one DuckDB file: the embedded default. One process owns the file, one thread uses it.

What shapes it: ON CONFLICT never uses an index, so what exists is looked up and the rest inserted; one Arrow table a
statement; and checkpoints, which rewrite the whole index, run between batches and seldom.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import wraps
from importlib.resources import files
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import duckdb
import msgspec
import pyarrow as pa
from typing_extensions import override

from domain.customer import MRR, Customer, Industry, PlanTier
from worker.failpoints import reach
from worker.outgoing import Outgoing
from worker.records import Header, PlainRecord, TopicPartition
from worker.store import Changes, ParkedRecord, PendingBatch, Store, StoreDamagedError, StoreError, StoreInUseError

VERSION = 1
MEMORY = ":memory:"
CHECKPOINT_AT_WAL_BYTES = 256 * 1024 * 1024
PENDING_BYTES = 32 * 1024 * 1024
DAMAGED_ADVICE = "Restore a copy, or delete it to rebuild it"

_CONFIG: dict[str, Any] = {
    "threads": 1,
    "enable_external_access": False,
    "autoload_known_extensions": False,
    "autoinstall_known_extensions": False,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
    "python_enable_replacements": False,
    "wal_autocheckpoint": "1TB",  # `maintain` decides instead
    "memory_limit": "4GB",
    "max_temp_directory_size": "16GB",
}
# The amount comes as text: the driver takes seven times as long to make a Decimal as Python does.
_CUSTOMER_COLUMNS = "customer_id::VARCHAR, industry, plan_tier, signup_date, mrr::VARCHAR, churn_date"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def _encode_headers(headers: Sequence[Header]) -> bytes:
    try:
        return _encode(headers)
    except UnicodeEncodeError:  # a name that was no UTF-8, see raw_headers
        return _encode([(name.encode(errors="surrogateescape"), value) for name, value in headers])


def _decode_headers(headers: bytes) -> list[Header]:
    return [
        (name if isinstance(name, str) else name.decode(errors="surrogateescape"), value)
        for name, value in _decode(headers)
    ]


P = ParamSpec("P")
R = TypeVar("R")


def _wrap_errors(
    method: Callable[Concatenate[DuckDBStore, P], R],
) -> Callable[Concatenate[DuckDBStore, P], R]:
    """Let no error of the driver past the edge of the store."""

    @wraps(method)
    def wrapped(self: DuckDBStore, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except duckdb.Error as error:
            raise _explained(error, self.path) from error

    return wrapped


def _explained(error: duckdb.Error, path: str) -> StoreError:
    text = str(error).splitlines()[0]
    if "Could not set lock" in text:
        return StoreInUseError(
            f"the store {path} is in use by another process. Stop that one first, "
            "or give this worker a store of its own (CUSTOMER_WORKER_STORE__URL)"
        )
    if "Cannot open file" in text:
        return StoreError(f"the store {path} cannot be opened: {text}. Check that its directory exists and is writable")
    if "Corrupt database file" in text:
        return StoreDamagedError(f"the store {path} is damaged ({text}). {DAMAGED_ADVICE}")
    if isinstance(error, duckdb.FatalException):
        return StoreError(f"the store {path} failed and has to be opened anew: {text}")
    return StoreError(f"the store {path} failed: {text}")


class DuckDBStore(Store):
    """Customers and everything about them in one file at `path`, or in memory for `:memory:`.

    Raises `StoreError` when the file is locked by another process, damaged or of a newer version.
    """

    def __init__(self, path: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = path
        self._clock = clock
        self._open()

    def _open(self) -> None:
        try:
            self._connect()
        except duckdb.Error as error:
            explained = _explained(error, self.path)
            if isinstance(explained, StoreInUseError) or "Cannot open file" in str(error):
                raise explained from error
            if isinstance(explained, StoreDamagedError):
                raise explained from error
            raise StoreError(f"{explained}. {DAMAGED_ADVICE}") from error

    def _connect(self) -> None:
        os.umask(0o077)  # customers are nobody else's to read; for good, as the log is made anew at each checkpoint
        self._db = duckdb.connect(self.path, config=_CONFIG)
        self._db.execute("SET lock_configuration = true")
        self._require_version()
        self._require_readable()
        self._seq: int = self._one("SELECT greatest((SELECT max(seq) FROM outbox), published_seq) FROM relay")
        self._parked_seq = self._one("SELECT coalesce(max(seq), 0) FROM parked")
        self._parked_count = self._one("SELECT count(*) FROM parked")
        self._receipts_count = self._one("SELECT count(*) FROM receipts")
        self._published_seq: int = self._one("SELECT published_seq FROM relay")
        rows = self._db.execute("SELECT topic, partition, next_offset FROM positions").fetchall()
        self._positions = {(topic, partition): offset for topic, partition, offset in rows}

    def _require_version(self) -> None:
        if not self._db.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'store_version'").fetchall():
            schema = files("worker.stores").joinpath("sql/duckdb.sql").read_text()
            self._db.execute("BEGIN")
            self._db.execute(schema)
            self._db.execute("COMMIT")
        version = self._one("SELECT version FROM store_version")
        if version != VERSION:
            self._db.close()
            raise StoreError(
                f"the store {self.path} has version {version}, this worker reads {VERSION}: "
                "run the worker that wrote it, or a newer one"
            )

    def _require_readable(self) -> None:
        """Read every block that is in use: each has a checksum, which nothing else would look at before it is needed.

        Raises the driver's error where one is damaged.
        """
        for (table,) in self._db.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            self._db.execute(f"SELECT bit_xor(hash({table})) FROM {table}").fetchall()

    def _one(self, query: str) -> Any:
        return self._db.execute(query).fetchall()[0][0]

    def _join(self, query: str, columns: Mapping[str, pa.Array[Any]]) -> duckdb.DuckDBPyConnection:
        """Run a statement that reads the table `batch`, made of these columns."""
        self._db.register("batch", pa.table(dict(columns)))
        return self._db.execute(query)

    @override
    def begin(self) -> None:
        pass

    @override
    def rollback(self) -> None:
        pass

    @_wrap_errors
    @override
    def customers(self, customer_ids: Collection[str]) -> Iterable[Customer]:
        if not customer_ids:
            return []
        query = f"SELECT {_CUSTOMER_COLUMNS} FROM customers WHERE customer_id IN (SELECT id::UUID FROM batch)"
        return [_customer(row) for row in self._join(query, {"id": pa.array(list(customer_ids))}).fetchall()]

    @override
    def active_customers(self) -> Iterator[Customer]:
        return map(_customer, self._rows(f"SELECT {_CUSTOMER_COLUMNS} FROM customers WHERE churn_date IS NULL"))

    @override
    def sample(self, n: int) -> list[Customer]:
        query = f"SELECT {_CUSTOMER_COLUMNS} FROM (FROM customers USING SAMPLE reservoir({n:d} ROWS) REPEATABLE (42))"
        return [_customer(row) for row in self._rows(query)]

    @_wrap_errors
    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._db.execute(query).fetchall()

    @_wrap_errors
    @override
    def parked(self, customer_ids: Collection[str]) -> Iterable[ParkedRecord]:
        if not customer_ids or not self._parked_count:
            return []
        query = """
            SELECT customer_id::VARCHAR, topic, partition, "offset", timestamp_ms, key, value, headers
            FROM parked WHERE customer_id IN (SELECT id::UUID FROM batch) ORDER BY seq
        """
        return [
            ParkedRecord(
                customer_id, PlainRecord(topic, partition, offset, timestamp, key, value, _decode_headers(headers))
            )
            for customer_id, topic, partition, offset, timestamp, key, value, headers in self._join(
                query, {"id": pa.array(list(customer_ids))}
            ).fetchall()
        ]

    @_wrap_errors
    @override
    def commit(self, changes: Changes) -> PendingBatch:
        db = self._db
        now = self._clock().replace(tzinfo=None)
        db.execute("BEGIN")
        try:
            self._write_customers(changes)
            self._write_parked(changes, now)
            self._write_journal(changes, now)
            receipted = self._write_outbox(changes.outbox)
            self._upsert("positions", "next_offset", changes.positions)
            reach("before-commit")
            db.execute("COMMIT")
        except BaseException:
            self._rollback()
            raise
        reach("after-commit")
        pending = PendingBatch(
            after_seq=self._seq,
            messages=[m for m in changes.outbox if m.id not in receipted] if receipted else changes.outbox,
            last_seq=self._seq + len(changes.outbox),
        )
        self._seq = pending.last_seq
        self._parked_seq += len(changes.parked)
        self._parked_count += len(changes.parked) - len(changes.released)
        self._receipts_count -= len(receipted)
        self._positions.update(changes.positions)
        return pending

    def _rollback(self) -> None:
        with suppress(duckdb.Error):  # a COMMIT that failed has ended the transaction already
            self._db.execute("ROLLBACK")

    def _write_customers(self, changes: Changes) -> None:
        if changes.new_customers:
            new = changes.new_customers.values()
            self._join(
                "INSERT INTO customers SELECT id::UUID, industry, plan_tier, signup_date, mrr, churn_date FROM batch",
                {
                    "id": pa.array([c.customer_id for c in new]),
                    "industry": pa.array([c.industry.value for c in new]),
                    "plan_tier": pa.array([c.plan_tier.value for c in new]),
                    "signup_date": pa.array([c.signup_date for c in new], pa.date32()),
                    "mrr": pa.array([c.mrr.amount for c in new], pa.decimal128(18, 6)),
                    "churn_date": pa.array([c.churn_date for c in new], pa.date32()),
                },
            )
        if changes.changed_customers:
            # A customer who is known changes in one way: by churning.
            changed = changes.changed_customers.values()
            self._join(
                "UPDATE customers SET churn_date = batch.churn_date FROM batch WHERE customer_id = batch.id::UUID",
                {
                    "id": pa.array([c.customer_id for c in changed]),
                    "churn_date": pa.array([c.churn_date for c in changed], pa.date32()),
                },
            )

    def _write_parked(self, changes: Changes, now: datetime) -> None:
        if changes.parked:
            records = [parked.record for parked in changes.parked.values()]
            seqs = range(self._parked_seq + 1, self._parked_seq + len(records) + 1)
            self._join(
                "INSERT INTO parked SELECT seq, customer_id::UUID, topic, partition, place, timestamp_ms,"
                " key, value, headers, parked_at FROM batch",
                {
                    "seq": pa.array(seqs),
                    "customer_id": pa.array([parked.customer_id for parked in changes.parked.values()]),
                    "topic": pa.array([r.topic for r in records]),
                    "partition": pa.array([r.partition for r in records], pa.int32()),
                    "place": pa.array([r.offset for r in records]),
                    "timestamp_ms": pa.array([r.timestamp for r in records]),
                    "key": pa.array([r.key for r in records], pa.binary()),
                    "value": pa.array([r.value for r in records], pa.binary()),
                    "headers": pa.array([_encode_headers(r.headers) for r in records]),
                    "parked_at": pa.array([now] * len(records)),
                },
            )
        if changes.released:
            topics, partitions, offsets = zip(*changes.released, strict=True)
            self._join(
                "DELETE FROM parked USING batch WHERE parked.topic = batch.topic"
                ' AND parked.partition = batch.partition AND parked."offset" = batch.place',
                {
                    "topic": pa.array(topics),
                    "partition": pa.array(partitions, pa.int32()),
                    "place": pa.array(offsets),
                },
            )

    def _write_journal(self, changes: Changes, now: datetime) -> None:
        if not changes.journal:
            return
        topics, partitions, offsets, customer_ids, outcomes, reasons, event_ids = zip(*changes.journal, strict=True)
        self._join(
            'INSERT INTO journal SELECT "at", topic, partition, place, customer_id::UUID, outcome, reason,'
            " event_id::UUID FROM batch",
            {
                "at": pa.repeat(pa.scalar(now), len(topics)),
                "topic": pa.array(topics),
                "partition": pa.array(partitions, pa.int32()),
                "place": pa.array(offsets),
                "customer_id": pa.array(customer_ids, pa.string()),
                "outcome": pa.array(outcomes),
                "reason": pa.array(reasons, pa.string()),
                "event_id": pa.array(event_ids, pa.string()),
            },
        )

    def _write_outbox(self, outbox: Sequence[Outgoing]) -> set[str]:
        """Add the rows; the ids of those that have a receipt already."""
        if not outbox:
            return set()
        receipted = self._take_receipts([message.id for message in outbox])
        self._join(
            "INSERT INTO outbox SELECT seq, id, topic, partition, key, value, headers, customer_id::UUID, receipted"
            " FROM batch",
            {
                "seq": pa.array(range(self._seq + 1, self._seq + len(outbox) + 1)),
                "id": pa.array([m.id for m in outbox]),
                "topic": pa.array([m.topic for m in outbox]),
                "partition": pa.array([m.partition for m in outbox], pa.int32()),
                "key": pa.array([m.key for m in outbox], pa.binary()),
                "value": pa.array([m.value for m in outbox], pa.binary()),
                "headers": pa.array([_encode_headers(m.headers) for m in outbox]),
                "customer_id": pa.array([m.customer_id for m in outbox], pa.string()),
                "receipted": pa.array([m.id in receipted for m in outbox]),
            },
        )
        return receipted

    def _take_receipts(self, ids: Sequence[str]) -> set[str]:
        if not self._receipts_count:
            return set()
        query = "DELETE FROM receipts WHERE id IN (SELECT id FROM batch) RETURNING id"
        return {row[0] for row in self._join(query, {"id": pa.array(ids)}).fetchall()}

    def _upsert(self, table: str, column: str, offsets: Mapping[TopicPartition, int]) -> None:
        if not offsets:
            return
        self._join(
            f"INSERT INTO {table} SELECT topic, partition, place FROM batch"
            f" ON CONFLICT (topic, partition) DO UPDATE SET {column} = excluded.{column}",
            {
                "topic": pa.array([topic for topic, _ in offsets]),
                "partition": pa.array([partition for _, partition in offsets], pa.int32()),
                "place": pa.array(offsets.values(), pa.int64()),
            },
        )

    @override
    def positions(self) -> Mapping[TopicPartition, int]:
        return self._positions

    @_wrap_errors
    @override
    def forget_position(self, partition: TopicPartition, next_offset: int) -> None:
        self._upsert("positions", "next_offset", {partition: next_offset})
        self._positions[partition] = next_offset

    @property
    @override
    def last_seq(self) -> int:
        return self._seq

    @property
    @override
    def published_seq(self) -> int:
        return self._published_seq

    @_wrap_errors
    @override
    def pending(self, after_seq: int, limit: int) -> PendingBatch:
        if after_seq == self._seq:
            return PendingBatch(after_seq, [], after_seq)
        last_seq = self._one(f"""
            SELECT coalesce(max(seq) FILTER (bytes_before < {PENDING_BYTES}), {self._seq}) FROM (
                SELECT seq, sum(bytes) OVER (ORDER BY seq) - bytes AS bytes_before
                FROM (
                    SELECT seq, coalesce(octet_length(value), 0) AS bytes
                    FROM outbox WHERE seq > {after_seq} AND NOT receipted ORDER BY seq LIMIT {limit:d}
                )
            )
        """)
        rows = self._db.execute(
            "SELECT id, topic, partition, key, value, headers, customer_id::VARCHAR FROM outbox"
            " WHERE seq > ? AND seq <= ? AND NOT receipted ORDER BY seq",
            [after_seq, last_seq],
        ).fetchall()
        messages = [
            Outgoing(message_id, topic, partition, key, value, _decode_headers(headers), customer_id)
            for message_id, topic, partition, key, value, headers, customer_id in rows
        ]
        return PendingBatch(after_seq, messages, last_seq)

    @_wrap_errors
    @override
    def mark_published(self, last_seq: int, ends: Mapping[TopicPartition, int]) -> None:
        self._db.execute("BEGIN")
        try:
            self._db.execute("UPDATE relay SET published_seq = ?", [last_seq])
            self._upsert("output_ends", "end_offset", ends)
            reach("before-mark")
            self._db.execute("COMMIT")
        except BaseException:
            self._rollback()
            raise
        reach("after-mark")
        self._published_seq = last_seq

    @_wrap_errors
    @override
    def output_ends(self) -> Mapping[TopicPartition, int]:
        rows = self._db.execute("SELECT topic, partition, end_offset FROM output_ends").fetchall()
        return {(topic, partition): offset for topic, partition, offset in rows}

    @_wrap_errors
    @override
    def keep_receipts(self, ids: Sequence[str], ends: Mapping[TopicPartition, int]) -> None:
        columns = {"id": pa.array(ids, pa.string())}
        self._db.execute("BEGIN")
        try:
            self._join(
                "UPDATE outbox SET receipted = true FROM batch"
                f" WHERE outbox.id = batch.id AND outbox.seq > {self._published_seq}",
                columns,
            )
            self._join(
                "INSERT INTO receipts SELECT DISTINCT id FROM batch WHERE id NOT IN (SELECT id FROM outbox)"
                " AND id NOT IN (SELECT id FROM receipts)",
                columns,
            )
            self._upsert("output_ends", "end_offset", ends)
            reach("before-receipts")
            self._db.execute("COMMIT")
        except BaseException:
            self._rollback()
            raise
        reach("after-receipts")
        self._receipts_count = self._one("SELECT count(*) FROM receipts")

    @_wrap_errors
    @override
    def maintain(self) -> None:
        wal = Path(f"{self.path}.wal")
        if self.path != MEMORY and wal.exists() and wal.stat().st_size > CHECKPOINT_AT_WAL_BYTES:
            reach("before-checkpoint")
            self._db.execute("CHECKPOINT")
            reach("after-checkpoint")

    @override
    def reopen(self) -> None:
        if self.path == MEMORY:
            return  # closing it would lose it
        self.close()
        self._open()

    @override
    def close(self) -> None:
        with suppress(duckdb.Error):  # an invalidated database is closed by letting go of it
            self._db.close()


_INDUSTRIES = {industry.value: industry for industry in Industry}
_PLAN_TIERS = {tier.value: tier for tier in PlanTier}


def _customer(row: tuple[Any, ...]) -> Customer:
    customer_id, industry, plan_tier, signup_date, mrr, churn_date = row
    return Customer(
        customer_id, _INDUSTRIES[industry], _PLAN_TIERS[plan_tier], signup_date, MRR(Decimal(mrr)), churn_date
    )
