"""The store is lost, or put back from an older copy: the same customers again, and nothing published twice."""

from pathlib import Path

import pytest

from tests.support.corpus import Corpus, make_corpus
from tests.support.records import Record
from tests.support.stage import PARTITIONS, Stage, copy_of_store, delete_store

pytestmark = pytest.mark.timeout(240)


def test_deleted_store_is_rebuilt_and_publishes_nothing(stage: Stage) -> None:
    corpus = make_corpus(3_000, PARTITIONS)
    stage.create_topics()
    stage.produce(corpus.messages)
    stage.run_to_the_end_of_the_topics()
    before = stage.published()
    delete_store(stage)
    stage.move_group("start")
    stage.run_to_the_end_of_the_topics()
    _require_nothing_further(before, stage.published())
    stage.require_as_expected()


def test_deleted_store_is_rebuilt_with_group_offsets_at_end(stage: Stage) -> None:
    stage.create_topics()
    stage.produce(make_corpus(1_000, PARTITIONS).messages)
    stage.run_to_the_end_of_the_topics()
    before = stage.published()
    delete_store(stage)
    # The group shows no lag from the start, so the store itself has to be waited for.
    worker = stage.start()
    worker.wait_until(lambda: _records_taken(worker.events("batch applied")) >= _inputs(stage), "all read again")
    assert worker.stop() == 0, worker.tail()
    _require_nothing_further(before, stage.published())
    stage.require_as_expected()


@pytest.mark.parametrize("group", ["reset to the start", "left where it was"])
def test_restored_older_store_catches_up_publishing_nothing(
    stage: Stage, group: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    corpus = make_corpus(3_000, PARTITIONS)
    copy = tmp_path_factory.mktemp("copy")
    stage.create_topics()
    _first_half(stage, corpus, copy)
    stage.produce(_second_half(corpus))
    stage.run_to_the_end_of_the_topics()
    before = stage.published()
    delete_store(stage)
    for file in copy.iterdir():
        (stage.directory / file.name).write_bytes(file.read_bytes())
    if group == "reset to the start":
        stage.move_group("start")
    worker = stage.start()
    wanted = _inputs(stage) if group == "reset to the start" else _inputs(stage) - len(_first_half_of(corpus))
    worker.wait_until(lambda: _records_taken(worker.events("batch applied")) >= wanted, "all read again")
    stage.finish(worker)
    _require_nothing_further(before, stage.published())
    stage.require_as_expected()


def _first_half_of(corpus: Corpus) -> list:  # type: ignore[type-arg]
    return corpus.early + corpus.signups[::2] + corpus.cancellations[::2]


def _second_half(corpus: Corpus) -> list:  # type: ignore[type-arg]
    return corpus.signups[1::2] + corpus.cancellations[1::2]


def _first_half(stage: Stage, corpus: Corpus, copy: Path) -> None:
    stage.produce(_first_half_of(corpus))
    stage.run_to_the_end_of_the_topics()
    copy_of_store(stage, copy)


def _records_taken(batches: list[dict[str, object]]) -> int:
    return sum(int(str(batch["records"])) for batch in batches)


def _inputs(stage: Stage) -> int:
    return len(stage.expected().outcomes)


def _require_nothing_further(before: list[Record], after: list[Record]) -> None:
    known = {record.coordinates for record in before}
    further = [record for record in after if record.coordinates not in known]
    shown = "\n".join(f"{r.coordinates} key {r.key!r} {r.headers}" for r in further[:3])
    assert not further, f"{len(further)} records more than the {len(before)} before, such as:\n{shown}"
    assert len(after) == len(before)
