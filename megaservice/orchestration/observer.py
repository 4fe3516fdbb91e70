"""What is measured of a run, under OPEA's metric names and with right values.

`megaservice_request_pending` returns to zero after every run, also after failures and clients that left; stock
leaves it up. The metrics themselves are comps' own singletons, since creating one of their names twice raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from megaservice.orchestration.readiness import NodeStatus
from megaservice.orchestration.run_metrics import run_metrics

if TYPE_CHECKING:  # `run` on the command line observes without comps, whose import takes a second
    from comps.cores.mega.orchestrator import OrchestratorMetrics

# Looking up an enumeration's member takes as long as the rest of what is done for a run's end.
_SUCCEEDED, _SKIPPED = NodeStatus.SUCCEEDED, NodeStatus.SKIPPED


class RunObserver(Protocol):
    """Is told what happens in one run, on the event loop; must not block."""

    def started(self) -> None:
        """The run began."""

    def token(self, answer: str = "") -> None:
        """A part of an answer's stream goes to the client.

        Args:
            answer: Which one, where there are several.
        """

    def ended(self, statuses: Mapping[str, NodeStatus]) -> None:
        """The run is over; called exactly once."""


class MetricsObserver:
    """Feeds comps' Prometheus metrics."""

    __slots__ = ("_last", "_metrics", "_started_at")

    def __init__(self, metrics: OrchestratorMetrics) -> None:
        self._metrics = run_metrics(metrics)
        self._started_at = 0.0
        self._last: dict[str, float] = {}

    def started(self) -> None:
        """Raise the pending gauge and start the clock."""
        self._started_at = now = monotonic()
        self._metrics.pending.add(1, now)

    def token(self, answer: str = "") -> None:
        """Observe the time to the first part, or between two parts of one answer."""
        now = monotonic()
        last = self._last.get(answer)
        self._last[answer] = now
        if last is None:
            self._metrics.first_token(self._started_at, now)
        else:
            self._metrics.gaps.add(now - last, now)

    def ended(self, statuses: Mapping[str, NodeStatus]) -> None:
        """Lower the pending gauge; the latency counts for runs whose nodes all ended well."""
        now = monotonic()
        self._metrics.pending.add(-1, now)
        for status in statuses.values():
            if status is not _SUCCEEDED and status is not _SKIPPED:
                return
        self._metrics.request(self._started_at, now)
