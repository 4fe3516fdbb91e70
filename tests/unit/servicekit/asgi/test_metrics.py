"""Requests, durations and how many are in flight: what the registry shows of them."""

from __future__ import annotations

from time import monotonic

from servicekit.asgi.metrics import HttpMetrics


async def test_registry_is_right_at_every_moment() -> None:
    """Each request counts as it comes and goes, by route, method and status; the gauge is zero at the end."""
    metrics = HttpMetrics()
    value = metrics.registry.get_sample_value
    for _ in range(3):
        metrics.begin(monotonic())
    assert value("http_requests_in_flight") == 3
    metrics.end("POST", "/chat", 200, 0.5, 0.25, monotonic())
    metrics.end("POST", "/chat", 499, 2.0, 1.0, monotonic())
    assert value("http_requests_in_flight") == 1
    metrics.end("GET", "/health", 200, 0.004, 0.004, monotonic())
    for method, handler, status in (("POST", "/chat", "200"), ("POST", "/chat", "499"), ("GET", "/health", "200")):
        assert value("http_requests_total", {"method": method, "handler": handler, "status": status}) == 1
    assert value("http_requests_in_flight") == 0
    assert value("http_request_duration_seconds_count", {"handler": "/chat"}) == 2
    assert value("http_request_duration_seconds_sum", {"handler": "/chat"}) == 2.5
    assert value("http_request_duration_seconds_bucket", {"handler": "/chat", "le": "0.5"}) == 1
    assert value("http_request_duration_seconds_count", {"handler": "/health"}) == 1
    assert metrics.statistics()["/chat"]["average_latency"] == 1.25
