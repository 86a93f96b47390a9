"""The customer worker: Kafka in, customers kept, `customer.churned` out, exactly once."""

from importlib.metadata import version

__version__ = version("customer-worker")
