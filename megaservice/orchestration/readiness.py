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


def upstreams_settled(upstreams: Sequence[str], statuses: Mapping[str, NodeStatus]) -> bool:
    """Whether every upstream has ended, one way or another."""
    return all(statuses[name] in SETTLED for name in upstreams)


def should_run(upstreams: Sequence[str], statuses: Mapping[str, NodeStatus]) -> bool:
    """Whether a node whose upstreams are settled runs: it is a root, or one incoming edge is live."""
    return not upstreams or any(statuses[name] is NodeStatus.SUCCEEDED for name in upstreams)
