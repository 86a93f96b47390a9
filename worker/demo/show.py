"""The demo as one call: a broker, a directory and the story; whatever happens, nothing stays behind."""

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
from worker.demo.broker import Broker, in_process_broker, real_broker
from worker.demo.narrator import Narrator
from worker.demo.stage import Stage

Tamper = Callable[[Broker], None]


def run_demo(
    *, bootstrap_servers: str | None, console: Console, as_json: bool = False, tamper: Tamper | None = None
) -> bool:
    """Play the story on the in-process broker, or on the Kafka named; whether nothing was lost or repeated.

    Raises `Refusal` where it cannot be played to its end. `as_json` prints the verdict alone. `tamper` is for tests:
    it is called just before the topics are read for the verdict.
    """
    with ExitStack() as cleanup:
        cleanup.enter_context(_signals_end_it_like_ctrl_c())
        directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="customer-worker-demo-")))
        broker = cleanup.enter_context(real_broker(bootstrap_servers) if bootstrap_servers else in_process_broker())
        stage = Stage(broker, directory)
        cleanup.callback(stage.close)
        acts = Acts(stage, Narrator(Console(quiet=True) if as_json else console))
        acts.play()
        verdict = acts.reckon(tamper or (lambda _: None))
        if as_json:
            console.print(verdict.as_json(), soft_wrap=True, highlight=False, markup=False)
        return verdict.is_well


@contextmanager
def _signals_end_it_like_ctrl_c() -> Iterator[None]:
    """Let a polite kill and a closed terminal, too, stop the worker before they end the demo."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
