"""Record batches built in Python: for header names that aiokafka cannot encode, and for records already encoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from worker.messages.record import Header


class RecordWriter(_DefaultRecordBatchBuilderPy):  # type: ignore[misc]
    """aiokafka's own writer of records in Python, for subclasses."""

    def __init__(self, batch_size: int, codec: int, *, is_transactional: int) -> None:
        super().__init__(
            magic=2,
            compression_type=codec,
            is_transactional=is_transactional,
            producer_id=-1,
            producer_epoch=-1,
            base_sequence=0,
            batch_size=batch_size,
        )


class WrittenBatchBuilder(BatchBuilder):  # type: ignore[misc]
    """A batch builder with this writer of records instead of aiokafka's usual one."""

    def __init__(self, writer: RecordWriter) -> None:
        super().__init__(0, 0)
        self._builder = writer

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._builder.set_producer_state(producer_id, producer_epoch, base_sequence)


class EscapedBatchBuilder(WrittenBatchBuilder):
    """A batch builder that writes header names as `record_parsing` read them."""

    def __init__(self, batch_size: int, codec: int = 0, *, is_transactional: int = 1) -> None:
        super().__init__(_EscapedWriter(batch_size, codec, is_transactional=is_transactional))


class _EscapedWriter(RecordWriter):
    def append(self, offset: int, timestamp: Any, key: Any, value: Any, headers: Sequence[Header]) -> Any:
        return super().append(offset, timestamp, key, value, [(_EscapedName(name), text) for name, text in headers])


class _EscapedName(str):
    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "surrogateescape") -> bytes:  # noqa: ARG002
        return super().encode(encoding, "surrogateescape")
