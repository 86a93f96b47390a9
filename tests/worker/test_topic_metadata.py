"""No metadata request of a client in this process creates topics."""

import aiokafka.admin.client
import aiokafka.client
import pytest

from worker.kafka import clients as kafka
from worker.settings import Kafka


@pytest.mark.parametrize("module", [aiokafka.client, aiokafka.admin.client], ids=["consumers and producers", "admin"])
def test_no_metadata_request_creates_topics(module: object, monkeypatch: pytest.MonkeyPatch) -> None:
    original = aiokafka.protocol.metadata.MetadataRequest
    for each in (aiokafka.client, aiokafka.admin.client):
        monkeypatch.setattr(each, "MetadataRequest", original)
    kafka.client_options(Kafka())
    request = module.MetadataRequest(["topic"])  # type: ignore[attr-defined]
    built = request.prepare({original.API_KEY: (0, 5)})
    assert built.API_VERSION == 5
    assert built.allow_auto_topic_creation is False
