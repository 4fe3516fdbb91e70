"""Which cores the measured process gets, and which the tools."""

from __future__ import annotations

import os
from dataclasses import dataclass

#: Two workers on a core each, and the tools on a third: with fewer nobody can say whether workers scale.
CORES_FOR_WORKERS = 3


@dataclass(frozen=True, slots=True)
class Cores:
    """Two sets of cores; they overlap only where there are not enough.

    Attributes:
        gateway: For what is measured.
        tools: For the upstream and the load generator.
    """

    gateway: frozenset[int]
    tools: frozenset[int]


def one_core_each(available: frozenset[int]) -> Cores:
    """Return one core for the gateway and one for the tools; the same one where there is only one."""
    ordered = sorted(available)
    return Cores(frozenset(ordered[:1]), frozenset(ordered[-1:]))


def room_for_workers(available: frozenset[int]) -> Cores:
    """Return all cores but one for several workers; on two cores everybody shares both."""
    ordered = sorted(available)
    if len(ordered) < CORES_FOR_WORKERS:
        return Cores(available, available)
    return Cores(frozenset(ordered[:-1]), frozenset(ordered[-1:]))


def available_cores() -> frozenset[int]:
    """Return the cores that this process may use."""
    return frozenset(os.sched_getaffinity(0))
