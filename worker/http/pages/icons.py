"""Icons of the pages in the browser's tabs, one per condition of the worker."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from worker.monitoring.verdict import Condition

_COLOURS = {
    "plain": "#56616d",
    Condition.HEALTHY: "#1a8f4c",
    Condition.ATTENTION: "#c98a00",
    Condition.STARTING: "#1f6fd0",
    Condition.BEHIND: "#1f6fd0",
    Condition.FAILING: "#d02a30",
}
_ICONS = {
    str(name): (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">'
        f'<rect width="16" height="16" rx="4" fill="{colour}"/>'
        '<path d="M4 5.5h8M4 8h8M4 10.5h5" stroke="#fff" stroke-width="1.5" stroke-linecap="round"/></svg>'
    )
    for name, colour in _COLOURS.items()
}


def icon(request: Request) -> Response:
    """Return the icon of the path."""
    name = request.path_params["name"]
    if name not in _ICONS:
        return PlainTextResponse("unknown icon\n", 404)
    return Response(_ICONS[name], media_type="image/svg+xml")
