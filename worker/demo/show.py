"""The demo: a broker, a temporary directory and the acts, cleaned up in any case."""

from __future__ import annotations

import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console

from worker.demo.acts import Acts
from worker.demo.broker import Broker, in_process_broker
from worker.demo.narrator import Narrator
from worker.demo.real_broker import real_broker
from worker.demo.stage import Stage

Tamper = Callable[[Broker], None]


def run_demo(
    *, bootstrap_servers: str | None, console: Console, as_json: bool = False, tamper: Tamper | None = None
) -> bool:
    """Run the demo on the in-process broker, or on the given Kafka. Returns whether nothing was lost or repeated.

    Raises `Refusal` if it cannot be completed. `as_json` prints the verdict only. `tamper` is for tests: it is called
    before the topics are read for the verdict.
    """
    with ExitStack() as cleanup:
        cleanup.enter_context(_signals_as_keyboard_interrupt())
        directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="customer-worker-demo-")))
        broker = cleanup.enter_context(real_broker(bootstrap_servers) if bootstrap_servers else in_process_broker())
        stage = Stage(broker, directory)
        cleanup.callback(stage.close)
        acts = Acts(stage, Narrator(Console(quiet=True) if as_json else console))
        acts.play()
        verdict = acts.verify(tamper or (lambda _: None))
        if as_json:
            console.print(verdict.as_json(), soft_wrap=True, highlight=False, markup=False)
        return verdict.is_well


@contextmanager
def _signals_as_keyboard_interrupt() -> Iterator[None]:
    """Handle SIGTERM and SIGHUP like Ctrl-C, so that the worker is stopped before the demo ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handled = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _interrupt) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
