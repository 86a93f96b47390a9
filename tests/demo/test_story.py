"""The demo's story is the same in every run."""

from worker.demo import cast, story


def test_the_backlog_is_the_same_every_time() -> None:
    assert story.while_down() == story.while_down()


def test_the_backlog_has_as_many_leavers_as_it_says() -> None:
    assert sum(line.leaves for line in story.backlog()) == story.BACKLOG_CANCELLATIONS


def test_backlog_while_down_includes_the_named_customers() -> None:
    named = [line for line in story.while_down() if line.key and line.key.decode() in cast.NAMES]
    assert len(named) == story.NAMED_WHILE_DOWN


def test_a_year_is_twelve_months_to_the_cent() -> None:
    assert str(cast.CHALKLINE.arr) == "1000.00"
