"""The customer worker: Kafka in, customers kept, `customer.churned` out, exactly once."""

from typing import TYPE_CHECKING

__version__: str

if not TYPE_CHECKING:  # a type checker would take any name for one that exists

    def __getattr__(name: str) -> str:
        """Read `__version__` at its first use: that takes longer than `worker.signals` may wait for its import."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import version  # noqa: PLC0415

        return version("customer-worker")
