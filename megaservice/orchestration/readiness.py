"""When a node may run: small pure predicates, the same answer in whatever order nodes finish."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum

logger = logging.getLogger(__name__)

#: The field of an output whose regular expressions name the downstream nodes that must not run.
BLACK_LIST = "downstream_black_list"


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


def should_run(
    upstreams: Sequence[str], statuses: Mapping[str, NodeStatus], pruned: Collection[str] = frozenset()
) -> bool:
    """Whether a node that has waited for its upstreams runs: it is a root, or one incoming edge is live.

    Args:
        upstreams: The node's.
        statuses: Of every node.
        pruned: Those upstreams whose edges to this node were pruned.
    """
    return not upstreams or any(statuses[name] in _LIVE and name not in pruned for name in upstreams)


def pruned_downstreams(output: object, downstreams: Iterable[str]) -> frozenset[str]:
    """Return the downstream nodes that an output's `downstream_black_list` matches; a bad expression is logged.

    Args:
        output: A node's.
        downstreams: The names of the nodes behind it.
    """
    names = tuple(downstreams)
    patterns = output.get(BLACK_LIST) if names and isinstance(output, Mapping) else None
    if not patterns or not isinstance(patterns, list | tuple | set):
        return frozenset()
    return frozenset(name for pattern in patterns for name in names if _matches(pattern, name))


def _matches(pattern: object, name: str) -> bool:
    try:
        return re.search(str(pattern), name) is not None
    except re.error as exc:
        logger.warning("%s: %r is no regular expression (%s); it prunes nothing.", BLACK_LIST, pattern, exc)
        return False
