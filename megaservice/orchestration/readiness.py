"""When a node may run: small pure predicates, the same answer in whatever order nodes finish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum


class NodeStatus(StrEnum):
    """The state of one node in one run."""

    PENDING = "pending"
    RUNNING = "running"
    STREAMING = "streaming"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


SETTLED = frozenset({NodeStatus.SUCCEEDED, NodeStatus.FAILED, NodeStatus.SKIPPED, NodeStatus.CANCELLED})


#: An edge from such a node is live.
_LIVE = frozenset({NodeStatus.SUCCEEDED, NodeStatus.STREAMING})


def should_run(upstreams: Sequence[str], statuses: Mapping[str, NodeStatus]) -> bool:
    """Whether a node that has waited for its upstreams runs: it is a root, or one incoming edge is live."""
    return not upstreams or any(statuses[name] in _LIVE for name in upstreams)
