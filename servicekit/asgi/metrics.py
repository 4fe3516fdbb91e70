"""Prometheus metrics of one service's HTTP side, and the latencies behind OPEA's `/v1/statistics`."""

from __future__ import annotations

from collections import deque
from statistics import fmean, quantiles

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

#: How many of the newest latencies of a route the statistics are computed from.
_WINDOW = 1000


class _Route:
    """What is measured of one route."""

    __slots__ = ("duration", "first_byte_latencies", "latencies")

    def __init__(self, duration: Histogram) -> None:
        self.duration = duration
        self.latencies: deque[float] = deque(maxlen=_WINDOW)
        self.first_byte_latencies: deque[float] = deque(maxlen=_WINDOW)


class HttpMetrics:
    """Requests, their durations and how many are in flight, by route; one instance per app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "http_requests_total", "Requests answered", ["method", "handler", "status"], registry=self.registry
        )
        self._durations = Histogram(
            "http_request_duration_seconds", "Until the answer's end", ["handler"], registry=self.registry
        )
        self._in_flight = Gauge(
            "http_requests_in_flight", "Requests being answered", registry=self.registry, multiprocess_mode="livesum"
        )
        self._routes: dict[str, _Route] = {}
        # Finding a child by its labels takes longer than counting with it.
        self._counted: dict[tuple[str, str, int], Counter] = {}

    def begin(self) -> None:
        """Count a request that came in."""
        self._in_flight.inc()

    def end(self, method: str, handler: str, status: int, seconds: float, first_seconds: float) -> None:
        """Count a request that ended; status 499 if its client left."""
        self._in_flight.dec()
        key = (method, handler, status)
        count = self._counted.get(key)
        if count is None:
            count = self._counted[key] = self._requests.labels(method, handler, str(status))
        count.inc()
        route = self._routes.get(handler)
        if route is None:
            route = self._routes[handler] = _Route(self._durations.labels(handler))
        route.duration.observe(seconds)
        route.latencies.append(seconds)
        route.first_byte_latencies.append(first_seconds)

    def statistics(self) -> dict[str, dict[str, float | None]]:
        """Return p50, p99 and average in seconds for each route, in the shape of OPEA's `/v1/statistics`."""
        return {
            handler: {
                **_summary(route.latencies, "latency"),
                **_summary(route.first_byte_latencies, "latency_first_token"),
            }
            for handler, route in sorted(self._routes.items())
        }


def _summary(values: deque[float], suffix: str) -> dict[str, float | None]:
    ranks = quantiles(values, n=100, method="inclusive") if len(values) > 1 else [values[0]] * 99
    return {f"p50_{suffix}": ranks[49], f"p99_{suffix}": ranks[98], f"average_{suffix}": fmean(values)}
