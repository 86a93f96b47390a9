"""What every kind of test may need."""

import signal
from collections.abc import Iterator

import pytest

from worker.replay.interruption import SIGNALS


@pytest.fixture
def heard() -> Iterator[None]:
    """Signals as a terminal's processes have them: what runs in the background may be made to ignore some."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
