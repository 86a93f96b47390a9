"""The history of the last 15 minutes: bounded, rates between points, quantiles, and the trend of the lag."""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

import pytest
from typing_extensions import override

from tests.support.builders import SIGNUPS, apply, signup
from tests.support.shown_worker import ShownWorker, with_worker
from worker.metrics.event_ages import SECONDS
from worker.monitoring import sampler
from worker.monitoring.history import (
    EVERY_SECONDS,
    KEPT_SECONDS,
    MAX_POINTS,
    Counters,
    History,
    Trend,
    age_quantile,
    span,
)
from worker.monitoring.sampler import Sampler
from worker.processing.report import BatchReport
from worker.stores.duckdb.store import DuckDBStore

NO_AGES = (0,) * (len(SECONDS) + 1)


class Watched(History):
    """A history that sets an event with its first point."""

    def __init__(self, sampled: asyncio.Event) -> None:
        super().__init__()
        self._sampled = sampled

    @override
    def add(self, at: float, counters: Counters, lag: int | None, batch_seconds: Iterable[float]) -> None:
        super().add(at, counters, lag, batch_seconds)
        if self.points:
            self._sampled.set()


def ages(**counts: int) -> tuple[int, ...]:
    """Return counts of ages by bucket, as `b3=10`."""
    return tuple(counts.get(f"b{place}", 0) for place in range(len(NO_AGES)))


def steady(lags: Sequence[int | None], records: int = 100) -> History:
    """Return a history of one point every five seconds."""
    history = History()
    for number, lag in enumerate([None, *lags]):
        history.add(number * EVERY_SECONDS, Counters(number * records, NO_AGES), lag, ())
    return history


def test_point_has_what_was_added_since_the_one_before() -> None:
    history = History()
    history.add(100.0, Counters(1_000, ages(b3=7)), 0, ())
    history.add(105.0, Counters(1_500, ages(b3=17, b4=10)), 42, [0.1, 0.2])
    [point] = history.points
    found = span([point])
    assert (point.records, point.events, point.lag) == (500, 20, 42)
    assert found is not None
    assert (found.records, found.events) == (100.0, 4.0)
    assert found.batch == pytest.approx((0.2, 0.2))


def test_history_keeps_fifteen_minutes() -> None:
    history = steady([0] * (MAX_POINTS + 50))
    assert len(history.points) == MAX_POINTS
    assert history.points[-1].at - history.points[0].at == KEPT_SECONDS - EVERY_SECONDS


def test_clock_set_back_adds_no_point() -> None:
    history = History()
    history.add(100.0, Counters(0, NO_AGES), 0, ())
    history.add(40.0, Counters(500, NO_AGES), 0, ())
    history.add(45.0, Counters(600, NO_AGES), 0, ())
    assert [(point.seconds, point.records) for point in history.points] == [(5.0, 100)]


def test_trend_is_that_of_the_last_minute() -> None:
    lags = [50_000] * 30 + [12_000 - 1_000 * number for number in range(12)]
    assert steady(lags).trend() == Trend(20.0, -200.0)


def test_unknown_lag_is_no_point_of_the_trend() -> None:
    assert steady([10, None, None, 310]).trend() == Trend(100 / 15, 20.0)


@pytest.mark.parametrize("lags", [[], [5], [5, 5], [None, None, None, 5]])
def test_trend_is_unknown_before_ten_seconds_are_measured(lags: list[int | None]) -> None:
    assert steady(lags).trend() is None


def test_age_quantiles_are_interpolated_within_a_bucket() -> None:
    counts = ages(b0=50, b2=50)  # up to 10 ms, and from 25 to 50 ms
    assert age_quantile(counts, 0.25) == pytest.approx(0.005)
    assert age_quantile(counts, 0.5) == pytest.approx(0.01)
    assert age_quantile(counts, 0.99) == pytest.approx(0.0495)
    assert age_quantile(ages(b18=1), 0.5) == SECONDS[-1]


def test_span_combines_points() -> None:
    history = History()
    history.add(0.0, Counters(0, NO_AGES), None, ())
    history.add(5.0, Counters(100, NO_AGES), 7, [0.5])
    history.add(15.0, Counters(200, NO_AGES), None, [0.25] * 98)
    found = span(list(history.points))
    assert found is not None
    assert (found.records, found.lag, found.latency) == (200 / 15, 7, None)
    assert found.batch == pytest.approx((0.25, 0.5))


def test_sampler_takes_existing_counters_and_batches_once(store: DuckDBStore) -> None:
    async def body(worker: ShownWorker) -> None:
        history = History()
        batches = deque([BatchReport(datetime.now(UTC), 1, {}, 0, 0.25)])
        sampling = Sampler(worker.metrics, worker.gauges, batches, history)
        sampling.sample(100.0)
        worker.has_lag({(SIGNUPS, 0): 5})
        worker.metrics.applied(2, apply(store, [signup(0), signup(1)]), {})
        batches.append(BatchReport(datetime.now(UTC), 2, {}, 0, 0.5))
        sampling.sample(105.0)
        [point] = history.points
        assert (point.records, point.lag, list(point.batch_seconds)) == (2, 5, [0.5])
        assert not batches

    with_worker(store, body)


def test_sampler_survives_an_error(store: DuckDBStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(worker: ShownWorker) -> None:
        monkeypatch.setattr(sampler, "EVERY_SECONDS", 0.001)
        lags: Iterator[int | Exception] = iter([ZeroDivisionError(), 1, 2])

        def lag() -> int:
            found = next(lags, 3)
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setattr(worker.gauges, "lag", lag)
        sampled = asyncio.Event()
        history = Watched(sampled)
        running = asyncio.create_task(Sampler(worker.metrics, worker.gauges, deque(), history).run())
        await asyncio.wait_for(sampled.wait(), 10)
        running.cancel()

    with_worker(store, body)
