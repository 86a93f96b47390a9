"""Ownership in PostgreSQL: workers claim partitions by epochs, and one of them is the leader."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from typing_extensions import override

from worker.messages.log_identity import LogIdentity
from worker.messages.record import TopicPartition
from worker.stores.errors import StoreError
from worker.stores.log_identities import LogIdentities, moving_applied
from worker.stores.postgres.claims import DRAWN_STEP
from worker.stores.postgres.connection import wrap_errors
from worker.stores.postgres.store_session import NOBODY, Led, PostgresSession
from worker.stores.row_codec import POSITION_LOGS, log_identity


class PostgresOwnership(PostgresSession, LogIdentities):
    """The claims of one worker among those that share the database."""

    @property
    @override
    def exclusive_id(self) -> None:
        return None

    @wrap_errors
    @override
    def claim(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        topics, numbers = [topic for topic, _ in partitions], [number for _, number in partitions]
        with self._db.transaction():
            self._require_version(self._db)
            taken = self._db.execute(_CLAIM, [topics, numbers]).fetchall()
        positions = self._read_positions()
        self._claims.replace({(topic, partition): epoch for topic, partition, epoch in taken}, positions)
        return positions

    @override
    def require_commits(self) -> None:
        self._claims.require_committed(self._read_positions())

    @wrap_errors
    @override
    def lead(self) -> bool:
        db, led = self._db, self._led
        if led is not None and led.db is not db:
            self._locks.close()  # its session may be on another server
            self._led = Led(NOBODY, db)
            if led.epoch != NOBODY:
                raise StoreError("this worker has connected to the store again")
        epoch = None
        try:
            epoch = self._locks.lead()
        finally:
            self._led = Led(NOBODY if epoch is None else epoch, db)
        return epoch is not None

    @override
    def logs(self) -> Mapping[TopicPartition, LogIdentity]:
        return {(topic, partition): log_identity(*log) for topic, partition, *log in self._rows(POSITION_LOGS)}

    @wrap_errors
    @override
    def forget_position(self, partition: TopicPartition, next_offset: int) -> None:
        query = """
            UPDATE positions SET next_offset = %s, topic_id = NULL, record_offset = NULL, record_fingerprint = NULL
            WHERE topic = %s AND partition = %s
        """
        with self._db.transaction():
            self._db.execute(_WITHOUT_LIMIT)
            self._db.execute(query, [next_offset, *partition])
            self._db.execute(_LOCK_CUSTOMERS, [*partition, next_offset])
            for statement in moving_applied("%s"):
                self._db.execute(statement.encode(), [*partition, next_offset])
        self._claims.committed({partition: next_offset})

    @wrap_errors
    @override
    def _set_topic_ids(self, topic_ids: Mapping[TopicPartition, UUID]) -> None:
        query = "UPDATE positions SET topic_id = %s WHERE topic = %s AND partition = %s AND topic_id IS NULL"
        for partition, topic_id in topic_ids.items():
            self._db.execute(query, [topic_id, *partition])


_CLAIM = f"""
    INSERT INTO positions (topic, partition, owner_epoch)
    SELECT topic, partition, {DRAWN_STEP} FROM unnest(%s::text[], %s::int[]) AS taken (topic, partition)
    ORDER BY topic, partition
    ON CONFLICT (topic, partition) DO UPDATE SET owner_epoch = positions.owner_epoch + {DRAWN_STEP}
    RETURNING topic, partition, owner_epoch
""".encode()
# As many rows can be moved as the log had: the time limit of other transactions is too short for that.
_WITHOUT_LIMIT = "SELECT set_config(name, '0', true) FROM pg_settings WHERE name = 'transaction_timeout'"
_LOCK_CUSTOMERS = """
    SELECT FROM customers WHERE source_topic = %s AND source_partition = %s AND source_offset >= %s
    ORDER BY customer_id FOR NO KEY UPDATE
"""
