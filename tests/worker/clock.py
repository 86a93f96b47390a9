"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


class Clock:
    """Gives `now`."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now
