"""Spans of batches and of transactions, as the consumer and the relay record them; here they record nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from worker.messages.outgoing import Outgoing
from worker.processing.batch import BatchResult, Messages


class BatchSpan:
    """The span of a batch, over all attempts to apply it. This one records nothing."""

    def commit(self, result: BatchResult, messages: Sequence[Outgoing], attempts: int) -> None:
        """Record the outcome of a committed batch. `messages` are those to be published, of all that it led to."""

    def fail(self, error: BaseException) -> None:
        """Record that the batch was not committed."""


class Tracing:
    """Tracing of a worker. This one records nothing."""

    def batch(self, messages: Messages) -> AbstractContextManager[BatchSpan]:  # noqa: ARG002 - see the subclass
        """Record the processing of a batch as the current span."""
        return _NO_BATCH

    def transaction(self, messages: Sequence[Outgoing]) -> AbstractContextManager[None]:  # noqa: ARG002
        """Record the publishing of these records in one transaction as the current span."""
        return _NOTHING

    async def close(self) -> None:
        """Export the last spans, within a time limit."""


_NO_BATCH = nullcontext(BatchSpan())
_NOTHING = nullcontext()
