"""What is measured of a run, under OPEA's metric names and with right values.

`megaservice_request_pending` returns to zero after every run, also after failures and clients that left; stock
leaves it up. The metrics themselves are comps' own singletons, since creating one of their names twice raises.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from megaservice.orchestration.readiness import NodeStatus

if TYPE_CHECKING:  # `run` on the command line observes without comps, whose import takes a second
    from comps.cores.mega.orchestrator import OrchestratorMetrics


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

    def __init__(self, metrics: OrchestratorMetrics) -> None:
        self._metrics = metrics
        self._started_at = 0.0
        self._last: dict[str, float] = {}

    def started(self) -> None:
        """Raise the pending gauge and start the clock."""
        self._started_at = time.monotonic()
        self._metrics.pending_update(increase=True)

    def token(self, answer: str = "") -> None:
        """Observe the time to the first part, or between two parts of one answer."""
        last = self._last.get(answer)
        if last is None:
            self._last[answer] = self._metrics.token_update(self._started_at, is_first=True)
            return
        # What token_update does, without its way: this is asked for every token.
        now = self._last[answer] = time.monotonic()
        self._metrics.inter_token_latency.observe(now - last)

    def ended(self, statuses: Mapping[str, NodeStatus]) -> None:
        """Lower the pending gauge; the latency counts for runs whose nodes all ended well."""
        self._metrics.pending_update(increase=False)
        if all(status in (NodeStatus.SUCCEEDED, NodeStatus.SKIPPED) for status in statuses.values()):
            self._metrics.request_update(self._started_at)
