"""Standard output that fails like that of standard tools: silently on a closed pipe, else with one sentence."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from typing_extensions import override

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

CLOSED = -1


class ClosedPipe(SystemExit):
    """Exit with 0: the reader has what it needs, as in `customer-worker status | head -1`."""

    def __init__(self) -> None:
        super().__init__(0)


class _Output(io.RawIOBase):
    """Output to a file descriptor, `CLOSED` if there is none.

    The first failure raises `SystemExit`; whatever is written after it is discarded. With `BrokenPipeError`, rich and
    click would end the command with 1, the exit code of a failed check.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._has_failed = False

    @override
    def write(self, content: ReadableBuffer, /) -> int:
        size = memoryview(content).nbytes
        if self._has_failed:
            return size
        try:
            return os.write(self._descriptor, content)
        except BrokenPipeError:
            self._has_failed = True
            raise ClosedPipe from None
        except OSError as error:
            self._has_failed = True
            sys.stderr.write(f"writing to standard output failed: {error.strerror}\n")
            raise SystemExit(1) from None

    @override
    def writable(self) -> bool:
        return True

    @override
    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    @override
    def fileno(self) -> int:
        if self._descriptor == CLOSED:
            raise io.UnsupportedOperation("standard output is closed")
        return self._descriptor


def install() -> None:
    """Replace `sys.stdout`: buffered also under PYTHONUNBUFFERED, where long output to a slow reader would be cut.

    Characters that its encoding lacks are escaped.
    """
    before: Any = sys.stdout  # None where it is closed
    output = _Output(CLOSED if before is None else before.fileno())
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(output),
        encoding="utf-8" if before is None else before.encoding,
        errors="backslashreplace",
        line_buffering=output.isatty() or before is None or bool(os.environ.get("PYTHONUNBUFFERED")),
    )


def flush() -> None:
    """Write buffered output; at the end of the interpreter a failure would be a traceback.

    A closed pipe does not change the exit code that the command has by now.
    """
    with suppress(ClosedPipe):
        sys.stdout.flush()
