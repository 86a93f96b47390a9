"""Messages of exceptions, without text that could be the content of a record.

Exceptions of libraries quote the values that they failed on: `Could not convert string 'x'`, `Key (a)=(x)`,
`KeyError: 'x'`. A message is passed on only if its type is known to quote no values.
"""

from __future__ import annotations

import errno
import os

WITHHELD = "message withheld, it may quote a record"
OWN_PACKAGES = {"worker", "domain"}
_HARMLESS_PACKAGES = OWN_PACKAGES | {"aiokafka"}
_HARMLESS = (OSError, ImportError, NameError, AttributeError, MemoryError, RecursionError)
_HARMLESS_OF_DUCKDB = {
    "BinderException",  # about SQL, in which values are parameters
    "CatalogException",
    "ConnectionException",
    "InterruptException",
    "IOException",
    "OutOfMemoryException",
    "PermissionException",
}
_HARMLESS_SQLSTATES = {"08", "0A", "23", "25", "26", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58", "XX"}
"""Classes of PostgreSQL's errors whose primary message names objects and no values."""
_OF_THE_SYSTEM = [os.strerror(each) for each in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)]


def message_of(error: BaseException) -> str | None:
    """Return the message, or the part of it that cannot hold a record's content; None if there is no such part."""
    package = type(error).__module__.partition(".")[0]
    if package in {"duckdb", "_duckdb"}:
        return _of_duckdb(error)
    if package == "psycopg":
        return _of_psycopg(error)
    if package in _HARMLESS_PACKAGES or (isinstance(error, _HARMLESS) and not isinstance(error, UnicodeError)):
        return str(error)
    return None if str(error) else ""


def _of_duckdb(error: BaseException) -> str | None:
    if type(error).__name__ in _HARMLESS_OF_DUCKDB:
        return str(error)
    return next((reason for reason in _OF_THE_SYSTEM if reason in str(error)), None)


def _of_psycopg(error: BaseException) -> str | None:
    state: str | None = getattr(error, "sqlstate", None)
    primary: str | None = getattr(getattr(error, "diag", None), "message_primary", None)
    if state is not None and primary is not None:
        return primary if state[:2] in _HARMLESS_SQLSTATES else None
    names = {each.__name__ for each in type(error).__mro__}
    return str(error).partition("\n")[0] if names & {"OperationalError", "InterfaceError"} else None
