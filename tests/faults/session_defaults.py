"""The defaults of a worker's sessions in PostgreSQL change while it runs, and its connections are cut."""

import random
from collections.abc import Mapping

from tests.faults.database import Database
from tests.faults.fault import POSTGRES, Fault
from tests.faults.play import Play

OTHER = {
    "default_transaction_isolation": ("repeatable read", "serializable"),
    "synchronous_commit": ("off",),
    "statement_timeout": ("500ms",),
    "lock_timeout": ("10ms",),
    "idle_session_timeout": ("2s",),
    "client_encoding": ("LATIN1", "SQL_ASCII"),
    "bytea_output": ("escape",),
    "array_nulls": ("off",),
    "standard_conforming_strings": ("off",),
    "datestyle": ("SQL, DMY", "German"),
    "timezone": ("Asia/Kathmandu",),
    "search_path": ("pg_catalog",),
}
READ_ONLY = "default_transaction_read_only"
CONNECTED_WITHIN_S = 60.0


def faults() -> list[Fault]:
    """Both."""
    return [
        Fault("other session defaults", _other_defaults, stores=[POSTGRES]),
        Fault("a worker's user made read-only", _read_only, stores=[POSTGRES]),
    ]


def _other_defaults(play: Play, rng: random.Random) -> str:
    """Sessions keep the defaults that they began with, so that these last until the next fault that ends sessions."""
    values = {name: rng.choice(choices) for name, choices in OTHER.items()}
    database = _with_defaults(play, values)
    try:
        before = database.sessions(play.slot)
        cut = _cut(play, database)
        play.wait_for(lambda: bool(database.sessions(play.slot) - before), "connected again", CONNECTED_WITHIN_S)
    finally:
        database.reset_defaults(play.slot)
    return f"{cut} connections cut, {values['default_transaction_isolation']} on the next ones"


def _read_only(play: Play, _: random.Random) -> str:
    """As a provider does that has no room left on the disk."""
    database = _with_defaults(play, {READ_ONLY: "on"})
    try:
        cut = _cut(play, database)
        play.wait_for(lambda: f"{READ_ONLY} is on" in play.worker.said(), "refused by the store", CONNECTED_WITHIN_S)
    finally:
        database.reset_defaults(play.slot)
    return f"{cut} connections cut, refused until it was reset"


def _with_defaults(play: Play, values: Mapping[str, str]) -> Database:
    database = play.cluster.database
    assert database is not None
    database.set_defaults(play.slot, values)
    return database


def _cut(play: Play, database: Database) -> int:
    cut = database.doors[play.slot].cut()
    assert cut, "there was no connection to cut"
    return cut
