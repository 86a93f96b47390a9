"""Stores as earlier versions of the worker have written them: their tables, and rows of every kind."""

from pathlib import Path
from typing import Any

import duckdb
import psycopg

from tests.support.builders import ADA, BOB, CANCELLATIONS, EVE, SIGNUPS
from tests.support.changes import EVENT
from tests.support.databases import Database, DuckDBDatabase, PostgresDatabase
from worker.stores.migrations import migrations

NO_HEADERS = r"\x90"
LETTER = f"{SIGNUPS}/0/2@1782820800000"
ROWS = f"""
INSERT INTO customers VALUES
    ('{ADA}', 'FinTech', 'growth', DATE '2026-01-15', 499, NULL),
    ('{BOB}', 'FinTech', 'growth', DATE '2026-01-15', 499, DATE '2026-06-30');
INSERT INTO journal ("at", topic, partition, "offset", customer_id, outcome, reason, event_id) VALUES
    (TIMESTAMP '2026-07-01 10:00:00', '{SIGNUPS}', 0, 0, '{BOB}', 'applied', NULL, NULL),
    (TIMESTAMP '2026-07-01 10:00:00', '{SIGNUPS}', 0, 1, '{ADA}', 'applied', NULL, NULL),
    (TIMESTAMP '2026-07-01 10:00:00', '{SIGNUPS}', 0, 2, '{ADA}', 'rejected', 'signup_conflict', NULL),
    (TIMESTAMP '2026-07-01 10:00:00', '{CANCELLATIONS}', 0, 0, '{EVE}', 'parked', NULL, NULL),
    (TIMESTAMP '2026-07-01 11:00:00', '{CANCELLATIONS}', 0, 1, '{BOB}', 'applied', NULL, '{EVENT}'),
    (TIMESTAMP '2026-07-01 11:00:00', '{CANCELLATIONS}', 0, 2, '{EVE}', 'rejected', 'no_signup', NULL);
INSERT INTO receipts VALUES ('receipted');
INSERT INTO redrives (dead_letter_id, topic, partition, "offset", value_sha256)
    VALUES ('{LETTER}', '{SIGNUPS}', 0, 9, '0');
INSERT INTO discards (dead_letter_id, "at", why)
    VALUES ('{SIGNUPS}/1/7@1', TIMESTAMP '2026-07-01 11:00:00', 'a test');
INSERT INTO output_ends VALUES ('customer.churned', 0, 7);
"""
OUTBOX = f"""
    ({{}}, 'old', 'customer.churned', NULL, NULL, '1', '{NO_HEADERS}', NULL, false, -1),
    ({{}}, '{LETTER}', 'customer.signup-dlt', 0, 'key', '2', '{NO_HEADERS}', '{ADA}', false, 1782820800000),
    ({{}}, '{EVENT}', 'customer.churned', NULL, NULL, '3', '{NO_HEADERS}', '{BOB}', false, -1)
"""
VALUE = f'{{"customer_id": "{EVE}", "cancellation_date": "2026-06-30"}}'
PARKED = f"""
    '{EVE}', '{CANCELLATIONS}', 0, 0, 1782820800000, NULL, '{VALUE}', '{NO_HEADERS}', TIMESTAMP '2026-07-01 10:00:00'
"""
DUCKDB = f"""
INSERT INTO outbox VALUES {OUTBOX.format(1, 2, 3)};
INSERT INTO parked VALUES (1, {PARKED});
UPDATE relay SET published_seq = 1;
INSERT INTO positions (topic, partition, next_offset) VALUES ('{SIGNUPS}', 0, 3), ('{CANCELLATIONS}', 0, 3);
"""
POSTGRES = f"""
INSERT INTO outbox VALUES {OUTBOX.format("1, 1", "1, 2", "2, 1")};
INSERT INTO outbox_commits (last_place, seq_before) VALUES (2, 0), (1, NULL);
INSERT INTO parked VALUES ({PARKED});
UPDATE relay SET last_seq = 2, published_seq = 1;
INSERT INTO positions (topic, partition, next_offset) VALUES ('{SIGNUPS}', 0, 3), ('{CANCELLATIONS}', 0, 3);
"""
LOGS = (
    "UPDATE positions SET topic_id = '00000000-0000-0000-0000-000000000001', record_offset = 2, record_fingerprint = -5"
)


def write_old_store(database: Database, version: int) -> None:
    """Write a store of that version with every kind of row: 1 of 3 rows of the outbox is published, 1 record parked."""
    kind = "duckdb" if isinstance(database, DuckDBDatabase) else "postgres"
    steps = [step.sql for step in migrations(kind) if step.version <= version]
    steps += [ROWS, DUCKDB if kind == "duckdb" else POSTGRES, f"UPDATE store_version SET version = {version}"]
    if version >= 2:
        steps.append(LOGS)
    run(database, ";".join(steps))


def run(database: Database, sql: str) -> None:
    """Run statements on a database that no store has open."""
    db: Any
    if isinstance(database, DuckDBDatabase):
        assert not Path(f"{database.path}.wal").exists()
        with duckdb.connect(database.path) as db:
            db.execute(sql)
    else:
        assert isinstance(database, PostgresDatabase)
        with psycopg.connect(database.url, autocommit=True) as db:
            db.execute(sql.encode())
