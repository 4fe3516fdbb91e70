"""comps' metrics of runs, fed many values at a time; see servicekit/metrics_batch.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from servicekit.metrics_batch import MetricsBatch, observe_all

if TYPE_CHECKING:  # `run` on the command line observes without comps, whose import takes a second
    from comps.cores.mega.orchestrator import OrchestratorMetrics


class RunMetrics:
    """What is measured of all runs.

    comps makes each histogram when it is first needed, so that none is shown that means nothing. So the first value
    of each goes through comps' own method.

    Args:
        metrics: comps' metrics, of which there is one set in a process.

    Attributes:
        pending: Takes 1 for a run that begins, -1 for one that ends.
        gaps: Takes seconds between two parts of one answer; only after a first token.
    """

    __slots__ = ("_batch", "_first_tokens", "_has_requests", "_has_tokens", "_metrics", "_requests", "gaps", "pending")

    def __init__(self, metrics: OrchestratorMetrics) -> None:
        self._metrics = metrics
        self._batch = batch = MetricsBatch()
        self._has_tokens = self._has_requests = False
        self.pending = batch.waiting(self._take_pending)
        self.gaps = batch.waiting(lambda values: observe_all(metrics.inter_token_latency, values))
        self._first_tokens = batch.waiting(lambda values: observe_all(metrics.first_token_latency, values))
        self._requests = batch.waiting(lambda values: observe_all(metrics.request_latency, values))
        metrics.pending_update(increase=True)  # makes the gauge
        metrics.pending_update(increase=False)
        batch.flush_before_reading(metrics.request_pending)

    def first_token(self, started_at: float, now: float) -> None:
        """Observe the time from a run's start to its answer's first part."""
        if self._has_tokens:
            self._first_tokens.add(now - started_at, now)
            return
        self._metrics.token_update(started_at, is_first=True)
        self._batch.flush_before_reading(self._metrics.first_token_latency, self._metrics.inter_token_latency)
        self._has_tokens = True

    def request(self, started_at: float, now: float) -> None:
        """Observe the time of a whole run that ended well."""
        if self._has_requests:
            self._requests.add(now - started_at, now)
            return
        self._metrics.request_update(started_at)
        self._batch.flush_before_reading(self._metrics.request_latency)
        self._has_requests = True

    def _take_pending(self, changes: Sequence[float]) -> None:
        self._metrics.request_pending.inc(sum(changes))


_of: dict[OrchestratorMetrics, RunMetrics] = {}


def run_metrics(metrics: OrchestratorMetrics) -> RunMetrics:
    """Return what feeds these metrics; always the same."""
    return _of.get(metrics) or _of.setdefault(metrics, RunMetrics(metrics))
