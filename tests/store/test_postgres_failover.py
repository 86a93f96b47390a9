"""Failover of PostgreSQL: lost commits, leadership that ends with its connection, and two primaries at a time."""

from collections.abc import Callable, Iterator
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from structlog.testing import capture_logs

from tests.support.builders import SIGNUPS
from tests.support.changes import ids, outgoing
from tests.support.postgres.replication import Pair, replicated_postgres
from tests.support.postgres.server import Postgres, fresh_schema
from worker.stores.changes import Changes
from worker.stores.errors import NotTheOwnerError, StoreBehindError, StoreError
from worker.stores.postgres.connection import Connection
from worker.stores.postgres.primary import _preferring
from worker.stores.postgres.store import PostgresStore

HERE = "postgresql://here"
PLACE = (SIGNUPS, 0)
LOST = r"has lost commits of this worker, 3 offsets: customer\.signup/0 is at 2 instead of 5\. A standby"


@pytest.fixture(params=["advisory", "rows"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(postgres_server: Callable[[], Postgres]) -> str:
    return fresh_schema(postgres_server())


@pytest.fixture
def stores(url: str, kind: str) -> Iterator[tuple[PostgresStore, PostgresStore]]:
    """Two workers' stores on one database."""
    one, other = (PostgresStore(url, HERE, kind) for _ in range(2))
    yield one, other
    one.close()
    other.close()


def read_to(store: PostgresStore, offset: int) -> None:
    """Commit a batch that ends before the offset."""
    store.positions()
    store.commit(Changes(positions={PLACE: offset}))


def test_commit_after_lost_commits_is_refused(stores: tuple[PostgresStore, PostgresStore], url: str) -> None:
    store, _ = stores
    store.claim([PLACE])
    read_to(store, 2)
    read_to(store, 5)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("UPDATE positions SET next_offset = 2")  # as on a standby without the last commit
    with pytest.raises(StoreBehindError, match=LOST):
        read_to(store, 7)
    with pytest.raises(StoreBehindError, match=LOST):
        store.require_commits()
    assert store.claim([PLACE]) == {PLACE: 2}
    store.require_commits()
    read_to(store, 3)
    assert store.positions() == {PLACE: 3}


def test_position_set_by_an_operator_loses_no_commits(stores: tuple[PostgresStore, PostgresStore]) -> None:
    store, _ = stores
    store.claim([PLACE])
    read_to(store, 5)
    store.forget_position(PLACE, 0)
    store.require_commits()
    read_to(store, 1)


def test_leadership_ends_with_the_connection(stores: tuple[PostgresStore, PostgresStore]) -> None:
    leader, other = stores
    assert leader.lead()
    leader.commit(Changes(outbox=[outgoing("a")]))
    leader.reopen()
    attempts: list[Callable[[], object]] = [
        lambda: leader.pending(0, 10),
        lambda: leader.mark_published(1, {}),
        lambda: leader.keep_receipts(["a"], {}),
    ]
    for attempt in attempts:
        with pytest.raises(StoreError, match="or this one has connected to the store again"):
            attempt()
    with pytest.raises(StoreError, match="this worker has connected to the store again"):
        leader.lead()
    assert other.lead(), "the leadership was not released"
    assert not leader.lead()


def test_leader_that_reconnected_leads_again(stores: tuple[PostgresStore, PostgresStore]) -> None:
    leader, _ = stores
    assert leader.lead()
    leader.commit(Changes(outbox=[outgoing("a")]))
    leader.reopen()
    with pytest.raises(StoreError):
        leader.lead()
    assert leader.lead()
    assert ids(leader.pending(0, 10).messages) == ["a"]
    leader.mark_published(1, {})
    assert leader.published_seq == 1


def test_mark_of_an_ended_leadership_is_refused(stores: tuple[PostgresStore, PostgresStore]) -> None:
    leader, other = stores
    assert leader.lead()
    leader.commit(Changes(outbox=[outgoing("a")]))
    leader.commit(Changes(outbox=[outgoing("b")]))
    assert leader.last_seq == 2
    require_version = leader._require_version

    def delayed(db: Connection) -> None:
        """Let another worker lead and mark, and this one lead again, before the mark is written."""
        leader._require_version = require_version  # type: ignore[method-assign]
        leader._locks.close()
        assert other.lead()
        other.mark_published(2, {})
        other._locks.close()
        assert leader.lead()
        require_version(db)

    leader._require_version = delayed  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="another worker is the leader now"):
        leader.mark_published(1, {})
    assert leader.published_seq == 2


@pytest.fixture
def pair() -> Iterator[Pair]:
    with replicated_postgres() as running:
        yield running


def host(store: PostgresStore) -> str:
    return str(store._db.info.host)


def test_synchronous_standby_has_every_commit(pair: Pair, kind: str) -> None:
    pair.add_standby(is_synchronous=True)
    store = PostgresStore(fresh_schema(pair), HERE, kind)
    assert store.lead()
    store.claim([PLACE])
    read_to(store, 5)
    pair.primary.kill()
    with pytest.raises(StoreError, match="cannot be reached, or ended the connection"):
        store.require_commits()
    with pytest.raises(StoreError, match="cannot be reached"):
        store.reopen()
    pair.promote()
    with capture_logs() as logs:
        store.reopen()
    [event] = [line for line in logs if line["event"] == "store failed over"]
    assert event["timeline"] == event["former_timeline"] + 1
    store.require_commits()
    read_to(store, 6)
    with pytest.raises(StoreError):
        store.lead()
    assert store.lead()
    store.close()


def test_former_primary_is_not_used_again(pair: Pair) -> None:
    standby = pair.add_standby(is_synchronous=False)
    store = PostgresStore(fresh_schema(pair), HERE)
    store.claim([PLACE])
    read_to(store, 2)
    standby.catch_up()
    standby.disconnect()
    read_to(store, 5)
    pair.promote()
    assert pair.former is not None
    pair.former.kill()
    store.reopen()
    with pytest.raises(StoreBehindError, match=LOST):
        store.require_commits()
    pair.former.start()
    store.reopen()
    assert host(store) == str(pair.primary.directory), "the address has the former primary first"
    pair.primary.kill()
    with pytest.raises(StoreError, match="timeline 1, but this worker has used timeline 2: it is a former primary"):
        store.reopen()
    store.close()


def test_two_primaries_give_different_epochs(pair: Pair, kind: str) -> None:
    standby = pair.add_standby(is_synchronous=False)
    url = fresh_schema(pair)
    PostgresStore(url, HERE, kind).close()
    standby.catch_up()
    standby.disconnect()
    stays = PostgresStore(url, HERE, kind)
    stays.claim([PLACE])
    assert stays.lead()
    pair.promote()
    assert pair.former is not None
    moves = PostgresStore(url.replace(quote(f"{pair.former.directory},", safe=","), ""), HERE, kind)
    moves.claim([PLACE])
    assert moves.lead(), "the lease of the leader on the former primary"
    pair.former.kill()
    stays.reopen()
    stays.commit(Changes(outbox=[outgoing("a")]))
    with pytest.raises(NotTheOwnerError):
        read_to(stays, 1)
    with pytest.raises(StoreError, match="another worker is the leader now"):
        stays.mark_published(1, {})
    with pytest.raises(StoreError, match="this worker has connected to the store again"):
        stays.lead()
    assert not stays.lead()
    for store in (stays, moves):
        store.close()


@pytest.mark.parametrize(
    ("url", "host", "hosts", "ports"),
    [
        ("postgresql://u@a:1,b:2/d?target_session_attrs=read-write", "b", "b,a", "2,1"),
        ("postgresql://u@a:1,a:2/d", "a", "a,a", "2,1"),
        ("postgresql:///d?host=a,b&port=2", "b", "b,a", "2,2"),
        ("postgresql:///d?host=/a,/b", "/b", "/b,/a", ","),
        ("postgresql://u@a,b:3/d", "a", "a,b", ",3"),
    ],
)
def test_host_in_use_is_before_the_others(url: str, host: str, hosts: str, ports: str) -> None:
    parts = conninfo_to_dict(_preferring(url, host, "2"))
    assert (parts["host"], parts["port"]) == (hosts, ports)


def test_address_of_one_host_is_unchanged() -> None:
    for url in ("postgresql://u@a/d?sslmode=require", "postgresql:///d", "postgresql://a,b/d?hostaddr=::1,::2"):
        assert _preferring(url, "a", "5432") == url
