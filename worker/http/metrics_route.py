"""`/metrics` for Prometheus: counters and gauges, read per request, without customer data."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker.metrics.counters import Metrics
from worker.monitoring.exposition import exposition
from worker.monitoring.gauges import Gauges


def metrics_route(metrics: Metrics, gauges: Gauges) -> Route:
    """Return the route of the metrics."""

    async def exposed(request: Request) -> Response:
        content, content_type = exposition(metrics, await gauges.read(), request.headers.get("accept", ""))
        return Response(content, headers={"content-type": content_type})

    return Route("/metrics", exposed)
