"""Settings, read from environment variables: prefix `CUSTOMER_WORKER_`, sections nested by `__`."""

from worker.settings.environment import PREFIX, STORE_URL, Settings, SettingsError
from worker.settings.kafka import Kafka
from worker.settings.sections import Batch, CutOutputs, Http, Log, Safety, SchemaRegistry, Topics
from worker.settings.store import Store

__all__ = [
    "PREFIX",
    "STORE_URL",
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
