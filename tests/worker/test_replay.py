"""Counts, ranges and silence of a replay, and the copy that a dry run works on."""

import asyncio
import multiprocessing
import os
import signal
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import uvloop
from aiokafka import TopicPartition

from tests.support.builders import (
    ADA,
    BOB,
    EVE,
    MAX_BYTES,
    SIGNUPS,
    apply,
    cancellation,
    composer,
    customer,
    record,
    signup,
)
from worker.cli.replay_report import print_report
from worker.errors import Exit, Refusal
from worker.messages.churned_event import churned_id
from worker.messages.inbound import Decoder
from worker.messages.record import PlainRecord
from worker.processing.dry_run import CountingProcessor, SeenWork
from worker.replay.interruption import SIGNALS, Interrupted, Interruption, interruptible
from worker.replay.replay import Replay
from worker.replay.report import CustomerChange, CustomerState, Emit, Report
from worker.replay.selection import Range, Selection, _range
from worker.settings import Settings
from worker.stores.changes import Changes, Committed
from worker.stores.duckdb import copy as duckdb_copy
from worker.stores.duckdb.copy import copied
from worker.stores.duckdb.file import MEMORY
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.errors import NoStoreError, StoreConflictError, StoreError, StoreInUseError

CHURN = date(2026, 6, 30)
PLACE = TopicPartition(SIGNUPS, 3)


# Where it starts and ends


@pytest.mark.parametrize(
    ("asked", "log", "decided", "wanted"),
    [
        ((0, 100), (0, 100), 100, (0, 100, 0, 0)),
        ((0, 100), (0, 100), 60, (0, 60, 0, 40)),
        ((70, 90), (0, 100), 60, (70, 70, 0, 20)),
        ((0, 999), (0, 100), 100, (0, 100, 0, 0)),
        ((5, 50), (20, 100), 100, (20, 50, 15, 0)),
        ((5, 10), (20, 100), 100, (20, 20, 5, 0)),
        ((30, 50), (20, 100), 100, (30, 50, 0, 0)),
        ((500, 999), (0, 100), 100, (500, 500, 0, 0)),
        ((0, 0), (0, 0), None, (0, 0, 0, 0)),
        ((0, 7), (0, 7), None, (0, 0, 0, 7)),
    ],
    ids=["all", "up to the store", "beyond the store", "beyond the end", "gone", "all gone", "within", "nowhere",
         "empty", "never read"],
)  # fmt: skip
def test_replay_reads_what_log_and_store_both_have(
    asked: tuple[int, int], log: tuple[int, int], decided: int | None, wanted: tuple[int, int, int, int]
) -> None:
    positions = {} if decided is None else {(SIGNUPS, 3): decided}
    assert _range(PLACE, *asked, *log, positions) == Range(SIGNUPS, 3, *wanted)


def test_log_end_before_the_position_is_another_log() -> None:
    with pytest.raises(Refusal, match=r"customer\.signup/3 ends at offset 10, but .* up to 11") as refused:
        _range(PLACE, 0, 10, 0, 10, {(SIGNUPS, 3): 11})
    assert refused.value.code is Exit.SAFETY


# What it counts


def replayed(store: DuckDBStore, records: list[PlainRecord]) -> tuple[CountingProcessor, Report]:
    path, report = CountingProcessor(Decoder(SIGNUPS, MAX_BYTES), composer()), Report(executed=True, emit=Emit.ALL)
    with SeenWork(store) as work:
        path.apply(path.read(records), work)
        work.commit()
    report.add_changes(work.changes)
    return path, report


def test_duplicates_are_counted(store: DuckDBStore) -> None:
    records = [signup(0), signup(1), record(b"{", SIGNUPS, 2), cancellation(0, BOB), cancellation(1)]
    apply(store, records)
    path, report = replayed(store, records)
    assert path.decided == {("duplicate", None): 4, ("rejected", "malformed"): 1}
    assert report.changes == {}


def test_parked_cancellations_are_counted_separately(store: DuckDBStore) -> None:
    apply(store, [cancellation(0), cancellation(1, ADA, "2026-07-01"), signup(0, plan_tier='"gold"')])
    path, report = replayed(store, [signup(0), cancellation(0)])
    assert path.decided == {("applied", None): 1, ("duplicate", None): 1}
    assert path.released == {("applied", None): 1, ("rejected", "already_churned"): 1}
    path.apply(path.read([cancellation(0)]), SeenWork(store))
    assert (path.decided, path.released) == ({("duplicate", None): 1}, {})
    after = CustomerState("growth", Decimal("499.00"), CHURN)
    assert report.changes == {ADA: CustomerChange(ADA, None, after)}


def test_customer_changed_in_two_batches_is_reported_once() -> None:
    report = Report(executed=False, emit=Emit.ALL)
    report.add_changes(Changes(new_customers={ADA: customer()}))
    report.add_changes(
        Changes(changed_customers={ADA: customer(churn_date=CHURN), BOB: customer(BOB, churn_date=CHURN)})
    )
    active, churned = (CustomerState("growth", Decimal("499.00"), day) for day in (None, CHURN))
    assert report.changes == {ADA: CustomerChange(ADA, None, churned), BOB: CustomerChange(BOB, active, churned)}


class Contested(DuckDBStore):
    """A store on which another worker is faster, twice."""

    conflicts = 2

    def commit(self, changes: Changes) -> Committed:
        if self.conflicts:
            self.conflicts -= 1
            raise StoreConflictError("another worker was faster")
        return super().commit(changes)


def test_conflicting_batch_is_decided_again_and_counted_once() -> None:
    store, report = Contested(MEMORY), Report(executed=True, emit=Emit.ALL)
    path = CountingProcessor(Decoder(SIGNUPS, MAX_BYTES), composer())
    replay = Replay(Settings(), Selection([SIGNUPS]), path, store, report)
    asyncio.run(replay._apply_all([signup(0), signup(1, BOB), signup(2)]))
    store.close()
    assert store.conflicts == 0
    assert (report.read, report.taken, report.outcomes) == (3, 3, {"applied": 2, "duplicate": 1})
    assert sorted(report.changes) == sorted([ADA, BOB])


def test_reports_share_no_state() -> None:
    first = Report(executed=False, emit=Emit.ALL)
    first.outcomes["applied"] += 1
    first.add_changes(Changes(new_customers={ADA: customer()}))
    second = Report(executed=False, emit=Emit.ALL)
    assert (second.outcomes, second.changes) == ({}, {})


@pytest.mark.parametrize(
    ("of", "who", "is_theirs"),
    [(signup(), ADA, True), (signup(), BOB, False), (cancellation(0, ADA.upper()), ADA, True),
     (signup(plan_tier='"gold"'), ADA, True), (record(b"{"), ADA, False), (record(None), ADA, False)],
)  # fmt: skip
def test_record_is_about_the_customer_in_its_value(of: PlainRecord, who: str, is_theirs: bool) -> None:
    assert CountingProcessor(Decoder(SIGNUPS, MAX_BYTES), composer()).is_about(of, who) is is_theirs


# Silence, and money


def silently(store: DuckDBStore, records: list[PlainRecord]) -> list[str]:
    """Apply the records silently; the ids of what would be published."""
    with SeenWork(store) as work:
        work.changes.is_silent = True
        path = CountingProcessor(Decoder(SIGNUPS, MAX_BYTES), composer())
        path.apply(path.read(records), work)
        return [message.id for message in work.commit().messages]


def test_silent_commit_is_never_pending(tmp_path: Path) -> None:
    store = DuckDBStore(str(tmp_path / "store"))
    apply(store, [signup(0), signup(1, BOB), signup(2, EVE), cancellation(0)])
    assert silently(store, [cancellation(1, BOB)]) == [churned_id(BOB)]
    apply(store, [cancellation(2, EVE)])
    store.reopen()
    pending = store.pending(0, 100)
    assert ([message.id for message in pending.messages], pending.last_seq) == ([churned_id(ADA), churned_id(EVE)], 3)
    store.close()


def test_silent_commit_skips_published_messages(store: DuckDBStore) -> None:
    store.keep_receipts([churned_id(ADA)], {})
    assert silently(store, [signup(0), signup(1, BOB), cancellation(0), cancellation(1, BOB)]) == [churned_id(BOB)]
    assert store._db.execute("SELECT count(*) FROM receipts").fetchall() == [(0,)]
    assert store._receipts_count == 0


def test_lost_arr_is_rounded_per_customer(store: DuckDBStore) -> None:
    assert store.lost_arr() == Decimal("0.00")
    money = {ADA: "83.333333", BOB: "999999999999.999999", EVE: "499.00"}
    apply(
        store, [signup(n, who, mrr=f'{{"amount": "{money[who]}", "currency": "USD"}}') for n, who in enumerate(money)]
    )
    apply(store, [cancellation(0, ADA), cancellation(1, BOB)])
    assert str(store.lost_arr()) == "12000000001000.00"


# The copy


def ignored(done: int, of: int) -> None:
    pass


def killed_with_a_log(path: str) -> None:
    """Fill a store and die without closing it."""
    store = DuckDBStore(path)
    apply(store, [signup(0), cancellation(0)])
    os._exit(0)


def in_a_process(target: object, *arguments: object) -> multiprocessing.Process:
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)  # type: ignore[arg-type]
    process.start()
    return process  # type: ignore[return-value]


def test_copy_has_the_log_and_leaves_the_store_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    in_a_process(killed_with_a_log, str(path)).join()
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    os.umask(0o022)  # as a command has it; opening a store changes it for good
    assert len(before) == 2, "no log was left"
    told: list[tuple[int, int]] = []
    with copied(str(path), lambda done, of: told.append((done, of))) as copy:
        assert oct(Path(copy).parent.stat().st_mode)[-2:] == "00"
        store = DuckDBStore(copy)
        assert [found.churn_date for found in store.customers([ADA])] == [CHURN]
        apply(store, [signup(1, BOB)])
        store.close()
    size = sum(map(len, before.values()))
    assert told[-1] == (size, size)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def interrupted_with(store: DuckDBStore) -> None:
    store.close()
    raise KeyboardInterrupt


def test_dry_run_removes_its_copy_and_leftover_copies(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    DuckDBStore(str(path)).close()
    left = tmp_path / "store.duckdb.copy"
    left.mkdir()
    (left / "store.duckdb").write_bytes(b"half a store")
    with pytest.raises(KeyboardInterrupt), copied(str(path), ignored) as copy:
        interrupted_with(DuckDBStore(copy))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_two_dry_runs_at_once_and_a_store_in_use_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    DuckDBStore(str(path)).close()
    with copied(str(path), ignored) as copy:
        with pytest.raises(StoreInUseError, match="works on a copy"), copied(str(path), ignored):
            pass
        DuckDBStore(copy).close()  # it is still there
    context = multiprocessing.get_context("spawn")
    opened, done = context.Event(), context.Event()
    holder = in_a_process(hold, str(path), opened, done)
    assert opened.wait(60)
    try:
        with pytest.raises(StoreInUseError, match="in use by another process"), copied(str(path), ignored):
            pass
    finally:
        done.set()
        holder.join()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def hold(path: str, opened: object, done: object) -> None:
    store = DuckDBStore(path)
    opened.set()  # type: ignore[attr-defined]
    done.wait(60)  # type: ignore[attr-defined]
    store.close()


def test_copy_without_disk_space_is_refused_with_the_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.duckdb"
    DuckDBStore(str(path)).close()
    monkeypatch.setattr(duckdb_copy, "ROOM_TO_WORK_BYTES", 10**18)
    with pytest.raises(StoreError, match=r"needs 1,000,000,[0-9,]+ MB .* Free disk space"), copied(str(path), ignored):
        pass
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("path", [MEMORY, "nowhere.duckdb"])
def test_missing_store_is_not_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoStoreError), copied(path, ignored):
        pass
    assert list(tmp_path.iterdir()) == []


# Interrupted


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_the_store_is_copied_leaves_no_copy(heard: None, tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "store.duckdb"
    DuckDBStore(str(path)).close()
    said: list[str] = []
    before = signal.getsignal(number)

    def tell(done: int, of: int) -> None:
        send(number)
        send(number)
        interruption.check()

    with (
        interruptible(lambda: said.append("stopping")) as interruption,
        pytest.raises(Interrupted),
        copied(str(path), tell),
    ):
        pass
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert said == ["stopping"]
    assert signal.getsignal(number) is before


def test_ignored_signal_remains_ignored(heard: None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with interruptible(lambda: None) as interruption:
        send(signal.SIGHUP)
        interruption.check()


async def wait_for(interruption: Interruption, *signals: signal.Signals) -> None:
    with interruption.cancelling():
        for number in signals:
            send(number)
        async with asyncio.timeout(30):
            await asyncio.Event().wait()


async def interrupted_work(interruption: Interruption, *signals: signal.Signals) -> str:
    """Clean up after a cancellation; further signals do not interrupt it."""
    with pytest.raises(asyncio.CancelledError):
        await wait_for(interruption, *signals)
    send(signal.SIGINT)
    send(signal.SIGTERM)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return "finished"


def test_only_the_first_signal_cancels_the_work(heard: None) -> None:
    with interruptible(lambda: None) as interruption:
        assert uvloop.run(interrupted_work(interruption, signal.SIGINT, signal.SIGINT)) == "finished"


async def finished_work(interruption: Interruption) -> str:
    with interruption.cancelling():
        pass
    send(signal.SIGINT)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return "finished"


def test_signal_after_the_work_is_ignored(heard: None) -> None:
    with interruptible(lambda: None) as interruption:
        assert uvloop.run(finished_work(interruption)) == "finished"


def test_signal_before_the_work_cancels_it(heard: None) -> None:
    with interruptible(lambda: None) as interruption:
        send(signal.SIGTERM)
        assert uvloop.run(interrupted_work(interruption)) == "finished"


# What is printed


def printed(report: Report, capsys: pytest.CaptureFixture[str]) -> str:
    print_report(report, as_json=False)
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


def bad_night(**more: object) -> Report:
    changes = Changes(new_customers={who: customer(who, churn_date=CHURN) for who in (ADA, BOB)})
    report = Report(
        **{"executed": False, "emit": Emit.ALL, "read": 5, "taken": 5, "events": 2, "dead_letters": 1} | more,  # type: ignore[arg-type]
        outcomes=Counter(applied=2, duplicate=2, rejected=1),
        rejected=Counter(already_churned=1),
        unparked=Counter(applied=2, rejected=1),
        unparked_rejected=Counter(churn_before_signup=1),
        lost_arr_after=Decimal("11976.00"),
    )
    report.add_changes(changes)
    return report


def test_report_is_printed_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    said = printed(bad_night(), capsys)
    for line in (
        "Dry run: nothing was changed.",
        "5 records read.",
        "applied 2 duplicate 2 no effect rejected already_churned 1 no effect: no second dead letter",
        "applied 2 parked cancellations rejected churn_before_signup 1 parked cancellations",
        f"{ADA} - growth, $499.00 per month, churned 2026-06-30",
        "To be published: 2 events, 1 dead letter.",
        "ARR lost: $0.00 before, $11,976.00 after.",
    ):
        assert line in said


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"executed": True, "waiting_after": 0}, "Replayed: 5 records read. "),
        ({"executed": True, "waiting_after": 0}, "Published: 2 events, 1 dead letter."),
        (
            {"executed": True, "waiting_before": 4, "waiting_after": 3, "interrupted": True},
            "To be published: 2 events, 1 dead letter. Together with earlier records of the outbox: 4 records. Not",
        ),
        ({"executed": True, "waiting_after": 3}, "Not published yet: 3 records. The next running worker"),
        ({"executed": True, "interrupted": True}, "Interrupted: committed batches are kept"),
        ({"interrupted": True, "read": 0, "taken": 0}, "Interrupted: nothing was changed. Until then: 0 records read"),
        ({"emit": Emit.NONE}, "Not sent, counted as published: 2 events, 1 dead letter. ARR lost"),
        (
            {"emit": Emit.NONE, "executed": True, "waiting_before": 1, "waiting_after": 1},
            "Still to be published, earlier records of the outbox: 1 record. The next running worker publishes",
        ),
        ({"taken": 6}, "abandoned 1 decided by an operator"),
        ({"read": 9}, "9 records read, 5 of them about the customer."),
    ],
)
def test_report_names_the_end_of_the_replay(
    more: dict[str, object], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in printed(bad_night(**more), capsys)
