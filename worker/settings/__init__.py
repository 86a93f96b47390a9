"""Settings, read from environment variables: prefix `CUSTOMER_WORKER_`, sections nested by `__`."""

from worker.settings.environment import PREFIX, Settings, SettingsError
from worker.settings.sections import Batch, CutOutputs, Http, Kafka, Log, Safety, SchemaRegistry, Topics
from worker.settings.store import Store

__all__ = [
    "PREFIX",
    "Batch",
    "CutOutputs",
    "Http",
    "Kafka",
    "Log",
    "Safety",
    "SchemaRegistry",
    "Settings",
    "SettingsError",
    "Store",
    "Topics",
]
