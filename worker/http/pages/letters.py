"""Dead letters: by reason and sender, and one by one, with the commands that redrive and discard them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import urlencode

from starlette.responses import HTMLResponse

from worker.http.pages import commands
from worker.http.pages.asking import BadRequest, ask, customer_id, one_of
from worker.http.pages.frame import Frame
from worker.messages.rejection import Reason
from worker.queries.letter_page import LETTER_PAGE, MOST_LETTERS, LetterGroup, LetterPageQuery
from worker.queries.server import QueryServer
from worker.settings import Settings
from worker.stores.dead_letters import WAITING, Filters, State

PER_PAGE = 50
EVERY_STATE = "all"
MOST_PAGES = MOST_LETTERS // PER_PAGE


class GroupRow(NamedTuple):
    """A group, and the address that selects its letters."""

    group: LetterGroup
    href: str


class Selection(NamedTuple):
    """The selection of a page by its parameters. `sender` is None for any sender."""

    topic: str = ""
    reason: str = ""
    state: str = ""
    sender: str | None = None
    customer: str = ""
    page: int = 1

    def filters(self) -> Filters:
        """Return the filters of the query."""
        return Filters(
            topic=self.topic or None,
            reason=self.reason or None,
            customer=self.customer or None,
            sender=self.sender,
            states=WAITING if not self.state else () if self.state == EVERY_STATE else (State(self.state),),
        )

    @property
    def is_narrow(self) -> bool:
        """Whether some letters are selected by more than their state."""
        return bool(self.topic or self.reason or self.customer or self.sender is not None)

    def href(self, **changes: str | int | None) -> str:
        """Return the address of this selection with some changes."""
        changed = self._replace(**changes)  # type: ignore[arg-type] # each of its own type
        usual = Selection()
        parts = {name: value for name, value in changed._asdict().items() if value != getattr(usual, name)}
        return "dead-letters" + (f"?{urlencode(parts)}" if parts else "")


class LettersPage:
    """The list of dead letters of one worker."""

    def __init__(self, settings: Settings, query_server: QueryServer, frame: Frame) -> None:
        self._settings = settings
        self._query_server = query_server
        self._frame = frame

    async def page(self, parameters: Mapping[str, str]) -> HTMLResponse:
        """Render the page that the parameters select. Raises `BadRequest` and `QueryFailed`."""
        selection = self._selection(parameters)
        query = LetterPageQuery(selection.filters(), (selection.page - 1) * PER_PAGE, PER_PAGE)
        found = await ask(self._query_server, LETTER_PAGE, query)
        pages = max(1, -(-found.count // PER_PAGE))
        return self._frame.page(
            "dead-letters",
            now=datetime.now(UTC),
            selection=selection,
            found=found,
            most=MOST_LETTERS,
            groups=[
                GroupRow(
                    group, selection.href(topic=group.topic, reason=group.reason, sender=group.sender or "", page=1)
                )
                for group in found.groups
            ],
            topics=self._settings.topics.inputs,
            reasons=[reason.value for reason in Reason],
            states=[state.value for state in State],
            pages=pages,
            commands=commands.of_letters(selection.filters()) if selection.is_narrow else [],
            is_duckdb=not self._settings.store.is_postgres,
        )

    def _selection(self, parameters: Mapping[str, str]) -> Selection:
        page = parameters.get("page", "1")
        if not (page.isascii() and page.isdigit() and len(page) <= 3 and 1 <= int(page) <= MOST_PAGES):  # noqa: PLR2004
            raise BadRequest(f"page is a number from 1 to {MOST_PAGES}")
        return Selection(
            one_of(parameters, "topic", self._settings.topics.inputs),
            one_of(parameters, "reason", [reason.value for reason in Reason]),
            one_of(parameters, "state", [*(state.value for state in State), EVERY_STATE]),
            parameters.get("sender"),
            customer_id(parameters["customer"]) if parameters.get("customer") else "",
            int(page),
        )
