"""The settings of a session that the store depends on: set or verified on each connection, for any defaults.

PostgreSQL takes the defaults of a session from its configuration, the database, the role and the client. `SETTINGS`
lists what the store needs of them. They are set by statements after connecting: poolers refuse or drop most settings
that a client passes while connecting. A setting that the server does not have is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

Connection = psycopg.Connection[tuple[Any, ...]]


class UnusableSessionError(psycopg.Error):
    """A server, database or pooler that does not provide the sessions that the store requires."""


class Setting(NamedTuple):
    """A setting of a session; a value in `kept` is left unchanged."""

    value: str
    why: str
    kept: tuple[str, ...] = ()


NEVER = "0"
SETTINGS: Mapping[str, Setting] = {
    "default_transaction_isolation": Setting(
        "read committed",
        "a commit reads again, under its locks, rows committed by others since its batch was decided",
    ),
    "synchronous_commit": Setting(
        "on",
        "committed rows are published to Kafka: they must survive a crash of the server",
        kept=("local", "remote_write", "remote_apply"),
    ),
    "statement_timeout": Setting(NEVER, "a migration, a copy or a query on a large store takes long"),
    "lock_timeout": Setting(NEVER, "a batch waits for the locks of another worker; `transaction_timeout` limits it"),
    "transaction_timeout": Setting(NEVER, "views read in one transaction; connections that write have their own limit"),
    "idle_in_transaction_session_timeout": Setting(NEVER, "as `transaction_timeout`"),
    "idle_session_timeout": Setting(
        NEVER, "a worker without records to read is idle; the leader's session has a limit"
    ),
    "row_security": Setting("off", "rows that a policy hides are an error: hidden rows would count as missing"),
    "client_encoding": Setting("UTF8", "records are UTF-8"),
    "standard_conforming_strings": Setting("on", "a backslash in a literal is a backslash"),
    "array_nulls": Setting("on", "NULL in an array parameter is no text"),
    "bytea_output": Setting("hex", "the form that the driver reads fastest"),
    "DateStyle": Setting("ISO, MDY", "the only form in which the driver reads times"),
    "IntervalStyle": Setting("postgres", "the only form in which the driver reads intervals"),
    "TimeZone": Setting("UTC", "times are shown in UTC"),
}
"""Settings of every connection. A connection that writes adds `WRITING`.

Verified instead: the database's encoding, and for writing `default_transaction_read_only` and recovery. They are the
operator's decision. `search_path` is narrowed to the schema of the store's tables.
Without effect here: `session_replication_role` (no triggers, no foreign keys), `default_transaction_deferrable` (no
SERIALIZABLE transactions), `extra_float_digits` (no floats).
"""
WRITING: Mapping[str, str] = {
    # Other workers wait for the locks of a frozen worker.
    "idle_in_transaction_session_timeout": "10s",
    # Also where the server itself waits for a row or for the client. Half of the time for which a batch is retried: a
    # worker that waits for the locks of a frozen one is ended by the same limit, and has to succeed afterwards.
    "transaction_timeout": "30s",
    # On a large store a batch's statements are expensive enough to be compiled each time, which takes longer than they.
    "jit": "off",
}

ENCODING = "UTF8"
_OPTION = re.compile(r"(?:-c\s*|--)([A-Za-z_][\w.-]*)=((?:\\.|[^\\\s])*)(?:\s+|$)")


def split_options(url: str) -> tuple[str, dict[str, str]]:
    """Split an address into one without the settings in its `options`, and these settings: poolers drop `options`.

    Options of another form stay in the address, all of them.
    """
    parts = conninfo_to_dict(url)
    options = str(parts.pop("options", None) or "").strip()
    found = list(_OPTION.finditer(options))
    if not found or "".join(each[0] for each in found) != options:
        return url, {}
    chosen = {
        name.replace("-", "_"): re.sub(r"\\(.)", r"\1", value) for name, value in (each.groups() for each in found)
    }
    return make_conninfo("", **parts), chosen


def require_encoding(db: Connection) -> None:
    """Raise unless the database keeps UTF-8: any other encoding lacks characters that customers' records have."""
    encoding = db.info.parameter_status("server_encoding")
    if encoding != ENCODING:
        raise UnusableSessionError(
            f"the database has the encoding {encoding}, records are UTF-8. Create a database with CREATE DATABASE name "
            "ENCODING 'UTF8' TEMPLATE template0 (add LOCALE 'C.UTF-8' if the server's locale does not fit), and name "
            "it in CUSTOMER_WORKER_STORE__URL"
        )


def require_writable(db: Connection) -> None:
    """Raise if the server is a standby, or if transactions are read-only by default."""
    [(is_standby, read_only)] = db.execute(
        "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')"
    ).fetchall()
    if is_standby:
        raise UnusableSessionError(
            "the server is a standby, which accepts no writes. Set the primary in CUSTOMER_WORKER_STORE__URL (several "
            "hosts, with target_session_attrs=read-write), or promote this server"
        )
    if read_only == "on":
        raise UnusableSessionError(
            "default_transaction_read_only is on for this server, database or role. Turn it off (ALTER ROLE … RESET "
            "default_transaction_read_only, or ALTER DATABASE, ALTER SYSTEM), or name another user in "
            "CUSTOMER_WORKER_STORE__URL"
        )


def set_up(db: Connection, chosen: Mapping[str, str], own: Mapping[str, str]) -> None:
    """Set the user's settings, then those that every connection needs, then those of this connection."""
    if chosen:
        db.execute(_SET_CHOSEN, [list(chosen), list(chosen.values())])
    values = {name: setting.value for name, setting in SETTINGS.items()} | dict(own)
    kept = [f"{name}={value}" for name, setting in SETTINGS.items() for value in setting.kept]
    db.execute(_SET, {"names": list(values), "values": list(values.values()), "kept": kept})
    # The client adds this to each BEGIN: commits do not depend on any default.
    db.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    use_schema_of_tables(db)


_SET_CHOSEN = "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS chosen (name, value)"
# Set also where the value is the default: a default may change while the session lasts.
_SET = """
    SELECT set_config(wanted.name, CASE WHEN found.is_kept THEN found.setting ELSE wanted.value END, false)
    FROM unnest(%(names)s::text[], %(values)s::text[]) AS wanted (name, value)
    JOIN (SELECT name, setting, name || '=' || setting = ANY(%(kept)s::text[]) AS is_kept FROM pg_settings) AS found
        ON found.name = wanted.name
"""


def use_schema_of_tables(db: Connection) -> None:
    """Narrow the search path to the schema in which it finds the store's tables; without tables leave it unchanged.

    All workers then use the same tables and lock keys, for any search paths of their roles.
    """
    db.execute(_USE_SCHEMA)


_USE_SCHEMA = """
    SELECT set_config('search_path', quote_ident(nspname), false)
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relname = 'store_version' AND pg_table_is_visible(pg_class.oid)
"""
