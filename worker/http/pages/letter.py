"""One dead letter: its record as received, escaped, and the commands that redrive and discard it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from starlette.responses import HTMLResponse

from worker.http.pages import commands
from worker.http.pages.asking import BadRequest, ask
from worker.http.pages.frame import Frame
from worker.messages.record import rfc3339
from worker.queries.letter_page import ONE_LETTER, OneLetterQuery
from worker.queries.server import QueryServer
from worker.settings import Settings
from worker.stores.dead_letters import State
from worker.text.printable import pretty, printable_bytes

MAX_VALUE_BYTES = 64 * 1024
MAX_HEADER_BYTES = 2_000
MAX_HEADERS = 200
LONGEST_ID = 400


class Shown(NamedTuple):
    """Bytes of a record as text: `kind` is JSON, text or bytes, `rest` the number of bytes that are not shown."""

    kind: str
    text: str
    rest: int


class ShownHeader(NamedTuple):
    """A header as text; a null value is None."""

    name: str
    value: Shown | None


class LetterPage:
    """The page of one dead letter."""

    def __init__(self, settings: Settings, query_server: QueryServer, frame: Frame) -> None:
        self._settings = settings
        self._query_server = query_server
        self._frame = frame

    async def page(self, parameters: Mapping[str, str]) -> HTMLResponse:
        """Render the letter with the id of the parameters. Raises `BadRequest` and `QueryFailed`."""
        letter_id = parameters.get("id", "")
        if not 0 < len(letter_id) <= LONGEST_ID:
            raise BadRequest("id is the id of a dead letter: topic/partition/offset")
        found = await ask(self._query_server, ONE_LETTER, OneLetterQuery(letter_id))
        if not found:
            return self._frame.page(
                "problem",
                status=404,
                title="No such dead letter",
                reason=f"No dead letter has the id {letter_id}.",
                advice="customer-worker dead-letters list lists them.",
            )
        *others, (letter, record) = [(each.letter, each.record) for each in found]
        return self._frame.page(
            "dead-letter",
            now=datetime.now(UTC),
            letter=letter,
            others=[other.id for other, _ in others],
            sent=rfc3339(letter.sent_at_ms) if letter.sent_at_ms >= 0 else "unknown",
            key=None if record.key is None else _shown(record.key),
            value=None if record.value is None else _value(record.value),
            size=0 if record.value is None else len(record.value),
            headers=_headers(record.headers),
            left_out=max(0, len(record.headers) - MAX_HEADERS),
            commands=commands.of_letter(letter.id) if letter.state is State.OPEN else [],
            is_duckdb=not self._settings.store.is_postgres,
        )


def _value(value: bytes) -> Shown:
    kind, text = pretty(value[:MAX_VALUE_BYTES])
    return Shown(kind, text, max(0, len(value) - MAX_VALUE_BYTES))


def _headers(headers: Sequence[tuple[bytes, bytes | None]]) -> list[ShownHeader]:
    return [
        ShownHeader(printable_bytes(name[:MAX_HEADER_BYTES]), None if value is None else _shown(value))
        for name, value in headers[:MAX_HEADERS]
    ]


def _shown(data: bytes) -> Shown:
    return Shown("", printable_bytes(data[:MAX_HEADER_BYTES]), max(0, len(data) - MAX_HEADER_BYTES))
