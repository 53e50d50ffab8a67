"""How long requests take, by route: an ASGI middleware with one histogram."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ROUTES_MAX = 100
"""Routes that get a label of their own; what comes beyond is counted as OTHER."""
OTHER = "other"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def http_histogram(prefix: str, registry: CollectorRegistry) -> Histogram:
    """Declare the histogram of a service."""
    return Histogram(
        f"{prefix}_http_request_seconds",
        "Time until the answer to a request began, by route and status.",
        ["method", "route", "status"],
        buckets=_SECONDS,
        registry=registry,
    )


class HttpMetrics:
    """Observes every request; a route is named by its template, never by a path somebody sent.

    Taken is the time until the first byte: a stream of events may go on for hours.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        histogram: Histogram,
        clock_s: Callable[[], float] = time.perf_counter,
        routes_max: int = ROUTES_MAX,
    ) -> None:
        """histogram: as of `http_histogram`. clock_s: must not fall."""
        self._app = app
        self._histogram = histogram
        self._clock_s = clock_s
        self._routes_max = routes_max
        self._routes: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = self._clock_s()
        has_begun = False

        async def observing_send(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start" and not has_begun:
                has_begun = True
                self._observe(scope, int(message["status"]), started_s)
            await send(message)

        try:
            await self._app(scope, receive, observing_send)
        except Exception:
            # The server itself answers 500, above this middleware.
            if not has_begun:
                self._observe(scope, 500, started_s)
            raise

    def _observe(self, scope: Scope, status: int, started_s: float) -> None:
        # Status by its first digit: few series, and what one asks at night.
        labels = (self._method(scope), self._route(scope), f"{status // 100}xx")
        self._histogram.labels(*labels).observe(self._clock_s() - started_s)

    def _method(self, scope: Scope) -> str:
        method: str = scope["method"]
        return method if method in _METHODS else OTHER

    def _route(self, scope: Scope) -> str:
        # Set by the router that found the route; a mounted app and a 404 have none.
        template = getattr(scope.get("route"), "path", None)
        if not isinstance(template, str):
            return OTHER
        if template not in self._routes:
            if len(self._routes) >= self._routes_max:
                return OTHER
            self._routes.add(template)
        return template
