"""Prometheus metrics of one service's HTTP side, and the latencies behind OPEA's `/v1/statistics`."""

from __future__ import annotations

from collections import deque
from statistics import fmean, quantiles

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

#: How many of the newest latencies of a route the statistics are computed from.
_WINDOW = 1000


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
        self._latencies: dict[str, deque[float]] = {}
        self._first_byte_latencies: dict[str, deque[float]] = {}

    def begin(self) -> None:
        """Count a request that came in."""
        self._in_flight.inc()

    def end(self, method: str, handler: str, status: int, seconds: float, first_seconds: float) -> None:
        """Count a request that ended; status 499 if its client left."""
        self._in_flight.dec()
        self._requests.labels(method, handler, str(status)).inc()
        self._durations.labels(handler).observe(seconds)
        self._latencies.setdefault(handler, deque(maxlen=_WINDOW)).append(seconds)
        self._first_byte_latencies.setdefault(handler, deque(maxlen=_WINDOW)).append(first_seconds)

    def statistics(self) -> dict[str, dict[str, float | None]]:
        """Return p50, p99 and average in seconds for each route, in the shape of OPEA's `/v1/statistics`."""
        return {
            handler: {
                **_summary(self._latencies[handler], "latency"),
                **_summary(self._first_byte_latencies[handler], "latency_first_token"),
            }
            for handler in sorted(self._latencies)
        }


def _summary(values: deque[float], suffix: str) -> dict[str, float | None]:
    ranks = quantiles(values, n=100, method="inclusive") if len(values) > 1 else [values[0]] * 99
    return {f"p50_{suffix}": ranks[49], f"p99_{suffix}": ranks[98], f"average_{suffix}": fmean(values)}
