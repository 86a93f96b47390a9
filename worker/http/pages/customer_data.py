"""Routes of the pages with customer data: who may see them is decided where they are served."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from worker.http.pages.asking import BadRequest
from worker.http.pages.customer import CustomerPage
from worker.http.pages.frame import Frame
from worker.http.pages.letter import LetterPage
from worker.http.pages.letters import LettersPage
from worker.http.pages.parked import ParkedPage
from worker.http.pages.reconcile import ReconcilePage
from worker.http.pages.reconcile_run import ReconcileRuns
from worker.queries.server import QueryFailed, QueryServer
from worker.settings import Settings

Page = Callable[[Mapping[str, str]], Awaitable[Response]]
"""A page by its parameters. Raises `BadRequest` and `QueryFailed`."""


class CustomerDataPages:
    """The pages with customer data of one worker."""

    def __init__(self, settings: Settings, query_server: QueryServer, frame: Frame) -> None:
        self._frame = frame
        self._runs = ReconcileRuns()
        reconcile = ReconcilePage(frame, self._runs)
        self._pages: Mapping[str, Page] = {
            "/dead-letters": LettersPage(settings, query_server, frame).page,
            "/dead-letter": LetterPage(settings, query_server, frame).page,
            "/customer": CustomerPage(settings, query_server, frame).page,
            "/parked": ParkedPage(settings, query_server, frame).page,
            "/reconcile": reconcile.page,
            "/reconcile-start": reconcile.start,
        }

    def routes(self, *middleware: Middleware) -> list[BaseRoute]:
        """Return the routes."""
        return [Route(path, self._answering(page), middleware=middleware) for path, page in self._pages.items()]

    async def close(self) -> None:
        """End a comparison in progress."""
        await self._runs.close()

    def _answering(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint of a page; a bad request and a store that fails have a page, too."""

        async def answer(request: Request) -> Response:
            try:
                return await page(request.query_params)
            except BadRequest as error:
                return self._problem(400, "The address is not valid", f"{error}.", "")
            except QueryFailed as error:
                return self._problem(503, "The store did not answer", f"{error}.", "The overview has its state.")

        return answer

    def _problem(self, status: int, title: str, reason: str, advice: str) -> Response:
        return self._frame.page("problem", status=status, title=title, reason=reason, advice=advice)
