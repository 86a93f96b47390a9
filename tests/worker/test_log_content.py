"""No content of a record is logged: local variables and quoting messages are omitted."""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator

import duckdb
import msgspec
import psycopg
import pytest
import structlog
from pydantic import TypeAdapter

from worker.logs import configuration as logs
from worker.logs.exceptions import described
from worker.settings import Log
from worker.stores.duckdb.file import MEMORY, explain
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.errors import StoreError

MARK = "marked-content-4711"
FORMATS = ("text", "json")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    root.handlers[:], root.level = before
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    structlog.reset_defaults()


def _convert() -> None:
    duckdb.connect(MEMORY).execute("SELECT ?::UUID", [MARK])


def _duplicate() -> None:
    db = duckdb.connect(MEMORY)
    db.execute("CREATE TABLE t (a VARCHAR PRIMARY KEY)")
    db.execute("INSERT INTO t VALUES (?), (?)", [MARK, MARK])


def _store() -> None:
    try:
        _convert()
    except duckdb.Error as error:
        raise explain(error, MEMORY) from error


def _group() -> None:
    raise ExceptionGroup(MARK, [ValueError(MARK), KeyError(MARK)])


def _look_up() -> None:
    names: dict[str, int] = {}
    names[MARK] += 1


def _in_context() -> None:
    try:
        _look_up()
    except KeyError:
        raise RuntimeError from ValueError(MARK)


def _noted() -> None:
    error = StoreError("the store failed")
    error.add_note(MARK)
    raise error


FAILURES: dict[str, Callable[[], object]] = {
    "a conversion in DuckDB": _convert,
    "a duplicate in DuckDB": _duplicate,
    "a store's error": _store,
    "a key": _look_up,
    "a value": lambda: int(MARK),
    "no UTF-8": (MARK.encode() + b"\xff").decode,
    "msgspec": lambda: msgspec.json.decode(f'"{MARK}"', type=int),
    "pydantic": lambda: TypeAdapter(int).validate_python(MARK),
    "psycopg": lambda: psycopg.conninfo.conninfo_to_dict(f"postgresql://h/d?{MARK}=1"),
    "a group": _group,
    "what came before": _in_context,
    "a note": _noted,
}


def _fail(how: Callable[[], object]) -> Exception:
    content = [MARK] * 3  # a local variable, as a batch is
    try:
        how()
    except Exception as error:  # noqa: BLE001 - whatever it is
        return error
    raise AssertionError(content)


@pytest.mark.parametrize("how", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("form", FORMATS)
def test_logged_exception_holds_no_content(
    form: str, how: Callable[[], object], capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(Log.model_validate({"format": form, "level": "DEBUG"}))
    error = _fail(how)
    structlog.get_logger("worker").error("batch failed", exc_info=error, error=described(error))
    logging.getLogger("faststream").error(f"{type(error).__name__}: {error}", exc_info=error)  # noqa: G004 - it does so
    logging.getLogger("faststream").error("failed: %s, %r", error, error)
    said = capsys.readouterr().err
    assert MARK not in said
    assert type(error).__name__ in said
    assert "test_log_content.py" in said
    assert "in _fail" in said


@pytest.mark.parametrize("form", FORMATS)
def test_unawaited_task_is_logged_without_content(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Log.model_validate({"format": form, "level": "DEBUG"}))

    async def fail() -> None:
        raise ValueError(MARK)

    async def forget() -> None:
        task = asyncio.create_task(fail())
        await asyncio.wait([task])

    asyncio.run(forget())
    gc.collect()
    said = capsys.readouterr().err
    assert "Task exception was never retrieved" in said
    assert MARK not in said


@pytest.mark.parametrize("form", FORMATS)
def test_uncaught_exception_is_logged_without_content(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Log.model_validate({"format": form, "level": "DEBUG"}))
    error = _fail(_look_up)
    sys.excepthook(type(error), error, error.__traceback__)
    thread = threading.Thread(target=_look_up)
    thread.start()
    thread.join()
    said = capsys.readouterr().err
    assert "uncaught exception in a thread" in said
    assert said.count("withheld") == 2
    assert MARK not in said


def test_harmless_messages_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Log(format="json"))
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/x")
    try:
        try:
            raise full
        except OSError as error:
            raise StoreError("the store failed: no room") from error
    except StoreError as error:
        logging.getLogger("worker").exception("failed", exc_info=error)
    [line] = capsys.readouterr().err.splitlines()
    exception = json.loads(line)["exception"]
    assert "OSError: [Errno 28] No space left on device: '/data/x'" in exception
    assert exception.endswith("worker.stores.errors.StoreError: the store failed: no room")
    assert "The above exception was the direct cause of the following one:" in exception


def test_fatal_error_of_duckdb_names_the_systems_cause() -> None:
    error = duckdb.FatalException(f"FATAL Error: invalidated. Original error: {MARK}: No space left on device")
    assert described(error) == "FatalException: No space left on device"
    assert described(duckdb.FatalException(MARK)).startswith("FatalException (")


def test_store_error_keeps_what_duckdb_says_of_files(tmp_path: object) -> None:
    with pytest.raises(StoreError, match=r"cannot be opened: .*No such file or directory"):
        DuckDBStore(f"{tmp_path}/nowhere/x.duckdb")
