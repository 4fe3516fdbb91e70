"""Prometheus metrics of one service's HTTP side, and the latencies behind OPEA's `/v1/statistics`."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import fmean, quantiles

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from servicekit.metrics_batch import MetricsBatch, observe_all

#: How many of the newest latencies of a route the statistics are computed from.
_WINDOW = 1000


class _Route:
    """What is measured of one route."""

    __slots__ = ("duration", "first_byte_latencies", "latencies")

    def __init__(self, duration: Histogram) -> None:
        self.duration = duration
        self.latencies: deque[float] = deque(maxlen=_WINDOW)
        self.first_byte_latencies: deque[float] = deque(maxlen=_WINDOW)


class _Answers:
    """The answers of one route with one method and status.

    Attributes:
        route: Theirs.
        seconds: The duration of each; so it is also their number.
    """

    __slots__ = ("_count", "route", "seconds")

    def __init__(self, route: _Route, count: Counter, batch: MetricsBatch) -> None:
        self._count = count
        self.route = route
        self.seconds = batch.waiting(self._take)

    def _take(self, seconds: Sequence[float]) -> None:
        self._count.inc(len(seconds))
        observe_all(self.route.duration, seconds)


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
        in_flight = Gauge(
            "http_requests_in_flight", "Requests being answered", registry=self.registry, multiprocess_mode="livesum"
        )
        self._batch = MetricsBatch()
        self._batch.flush_before_reading(self._requests, self._durations, in_flight)
        self._in_flight = self._batch.waiting(lambda changes: in_flight.inc(sum(changes)))
        self._routes: dict[str, _Route] = {}
        self._answers: dict[tuple[str, str, int], _Answers] = {}

    def begin(self, now: float) -> None:
        """Count a request that came in.

        Args:
            now: The monotonic clock.
        """
        self._in_flight.add(1, now)

    def end(self, method: str, handler: str, status: int, seconds: float, first_seconds: float, now: float) -> None:
        """Count a request that ended; status 499 if its client left.

        Args:
            method: The request's.
            handler: The path of its route.
            status: The answer's.
            seconds: Until the answer's end.
            first_seconds: Until its first byte.
            now: The monotonic clock.
        """
        self._in_flight.add(-1, now)
        answers = self._answers.get((method, handler, status)) or self._add_answers(method, handler, status)
        answers.seconds.add(seconds, now)
        answers.route.latencies.append(seconds)
        answers.route.first_byte_latencies.append(first_seconds)

    def _add_answers(self, method: str, handler: str, status: int) -> _Answers:
        route = self._routes.get(handler)
        if route is None:
            route = self._routes[handler] = _Route(self._durations.labels(handler))
        count = self._requests.labels(method, handler, str(status))
        answers = self._answers[method, handler, status] = _Answers(route, count, self._batch)
        return answers

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
