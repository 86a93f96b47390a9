"""The command socket: where it is, who may connect, and how it is left and replaced."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.changes import prepare
from tests.support.serving import query_routes, served
from worker.bootstrap import backend, store_identity
from worker.errors import Refusal
from worker.http.command_socket import CommandSocket, listen_for_commands
from worker.http.server import command_application
from worker.monitoring.worker_report import REPORT_PATH, WorkerReport
from worker.queries import worker_http
from worker.queries.catalogue import STATUS
from worker.queries.worker_http import NoResponse
from worker.settings import Http, Settings, Store
from worker.socket_paths import ADDRESS_BYTES, address_of, socket_beside
from worker.stores.duckdb.store import DuckDBStore

SHORT, LONG, LONGEST = "customers.duckdb", "c" * 120, "c" * 240


@pytest.fixture(params=[(), ("d" * 100,), ("d" * 200, "e" * 200)], ids=["short", "long", "longer"])
def directory(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Return a directory whose path fits a socket address, or does not."""
    made = tmp_path.joinpath(*request.param)
    made.mkdir(parents=True, exist_ok=True)
    return made


def connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client, address_of(path) as address:
        client.connect(address)


@pytest.fixture
def unlimited_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("unlimited_umask")
@pytest.mark.parametrize("name", [SHORT, LONG, LONGEST])
def test_socket_beside_a_store_admits_its_owner_only(directory: Path, name: str) -> None:
    path = socket_beside(directory / name)
    with closing(CommandSocket(path)):
        assert path.parent == directory
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        connect(path)
    assert not any(directory.iterdir())


def test_stores_in_one_directory_have_their_own_sockets(tmp_path: Path) -> None:
    names = [SHORT, "customers.db", LONG, LONG + "d", LONGEST]
    assert len({socket_beside(tmp_path / name) for name in names}) == len(names)


def test_socket_is_found_by_every_path_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    paths = {backend(Store.model_validate({"url": f"duckdb:///{path}/{SHORT}"})).command_socket
             for path in (tmp_path, ".", tmp_path / "link", tmp_path / "link/link")}  # fmt: skip
    assert paths == {socket_beside(tmp_path / SHORT)}


@pytest.mark.parametrize("url", ["duckdb://:memory:", "postgresql://worker@db/customers"])
def test_other_stores_have_no_command_socket(url: str) -> None:
    assert backend(Store.model_validate({"url": url})).command_socket is None


def test_socket_of_a_crashed_worker_is_replaced(directory: Path) -> None:
    path = socket_beside(directory / SHORT)
    with socket.socket(socket.AF_UNIX) as crashed, address_of(path) as address:
        crashed.bind(address)
    with pytest.raises(ConnectionRefusedError):
        connect(path)
    with closing(CommandSocket(path)):
        connect(path)


def write(path: Path) -> None:
    path.write_text("kept")


def link(path: Path) -> None:
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("put", [write, link, Path.mkdir])
def test_other_file_at_the_path_is_kept_and_reported(tmp_path: Path, put: Callable[[Path], None]) -> None:
    path = socket_beside(tmp_path / SHORT)
    put(path)
    with capture_logs() as logs:
        assert listen_for_commands(path) is None
    assert path.is_symlink() or path.exists()
    [line] = logs
    assert (line["event"], line["log_level"]) == ("command socket not available", "warning")
    assert line["reason"] == "Address already in use"
    assert not (tmp_path / "elsewhere").exists()


def descriptors() -> list[str]:
    return [file.name for file in Path("/proc/self/fd").iterdir()]


def test_address_leaves_no_descriptor_open(tmp_path: Path) -> None:
    path = tmp_path / ("d" * 120) / "s"
    path.parent.mkdir()
    before = descriptors()
    with address_of(path) as address:
        assert len(address) <= ADDRESS_BYTES
    assert descriptors() == before


def settings(directory: Path, **http: object) -> Settings:
    store = Store.model_validate({"url": f"duckdb:///{directory}/{SHORT}"})
    return Settings(store=store, http=Http.model_validate({"port": 1} | http))


def test_command_reads_a_running_worker_by_its_socket(directory: Path) -> None:
    configured = settings(directory, token="0123456789abcdef")

    async def ask() -> None:
        path = socket_beside(directory / SHORT)
        with closing(DuckDBStore(str(directory / SHORT))) as store, closing(CommandSocket(path)) as listening:
            prepare(store)
            application = command_application(Http(), query_routes(store, store_identity(configured)))
            async with served(application, listening.socket):
                report = await asyncio.to_thread(worker_http.get, configured, REPORT_PATH, WorkerReport)
                assert report.version == "1.2.3"
                found = await asyncio.to_thread(worker_http.get, configured, "/ask/status", STATUS.result)
                assert found.totals.customers == 1

    asyncio.run(ask())


def test_worker_of_a_replaced_file_is_not_queried(tmp_path: Path) -> None:
    configured, file = settings(tmp_path), tmp_path / SHORT

    async def ask() -> None:
        with closing(DuckDBStore(str(file))) as store, closing(CommandSocket(socket_beside(file))) as listening:
            application = command_application(Http(), query_routes(store, store_identity(configured)))
            file.rename(tmp_path / "moved")
            file.touch()
            async with served(application, listening.socket):
                await asyncio.to_thread(worker_http.get, configured, "/ask/status", STATUS.result)

    with pytest.raises(Refusal, match="is not the worker of this store"):
        asyncio.run(ask())


def test_command_without_a_socket_names_it(tmp_path: Path) -> None:
    DuckDBStore(str(tmp_path / SHORT)).close()
    with pytest.raises(NoResponse) as refused:
        worker_http.get(settings(tmp_path), REPORT_PATH, WorkerReport)
    assert f"nothing responds at {socket_beside(tmp_path / SHORT)}: No such file or directory" in str(refused.value)
    assert "CUSTOMER_WORKER_HTTP__TOKEN" in str(refused.value)


def test_command_without_a_socket_uses_the_port_with_the_token(tmp_path: Path) -> None:
    DuckDBStore(str(tmp_path / SHORT)).close()
    with pytest.raises(NoResponse) as refused:
        worker_http.get(settings(tmp_path, token="0123456789abcdef"), REPORT_PATH, WorkerReport)
    assert "nothing responds at http://127.0.0.1:1: Connection refused" in str(refused.value)
