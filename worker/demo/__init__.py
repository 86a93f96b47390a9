"""`customer-worker demo`: the real worker in a story with a crash, and the proof that nothing was lost or repeated."""

from worker.demo.show import run_demo

__all__ = ["run_demo"]
