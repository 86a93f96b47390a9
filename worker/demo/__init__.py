"""`customer-worker demo`: a scenario with the real worker, a crash, and a verification that nothing was lost."""

from worker.demo.show import run_demo

__all__ = ["run_demo"]
