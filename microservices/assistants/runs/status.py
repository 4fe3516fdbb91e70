"""Who may follow whom: the statuses of runs, messages and run steps, as tables.

    A run                                              ends by
    (a) queued ──▶ (b) in_progress ──▶ (c) completed   the model's answer
           ▲              │ ├────────▶ (d) incomplete  a token limit
           │              │ └────────▶ (e) failed      the gateway, or attempts that died
           └ (f) requires_action ◀┘
    (a) (b) (f) ──▶ (g) cancelling ──▶ (h) cancelled   whoever called cancel
    (a) (b) (f) (g) ──▶ (i) expired                    the clock

(f) goes back to (a) when its tool outputs come: any process may go on with it. (b) follows (b) when an attempt died
with its process and another one begins. (g) is passed within one transaction, so that no crash leaves a run there.
A run that is in none of (a), (b), (f) and (g) has ended, for ever.

    A message  in_progress ──▶ completed | incomplete
    A step     in_progress ──▶ completed | failed | cancelled | expired

Source: https://platform.openai.com/docs/assistants/deep-dive#run-lifecycle
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from microservices.assistants.objects.message import MessageStatus
from microservices.assistants.objects.run import ACTIVE, RunStatus
from microservices.assistants.objects.run_step import StepStatus

_END: Final[frozenset[RunStatus]] = frozenset()
_STOPPED = frozenset({RunStatus.CANCELLING, RunStatus.CANCELLED, RunStatus.EXPIRED})

#: Of each status of a run, those that may come next.
RUN_FOLLOWERS: Final[Mapping[RunStatus, frozenset[RunStatus]]] = {
    RunStatus.QUEUED: _STOPPED | {RunStatus.IN_PROGRESS, RunStatus.FAILED},
    RunStatus.IN_PROGRESS: _STOPPED
    | {
        RunStatus.IN_PROGRESS,
        RunStatus.REQUIRES_ACTION,
        RunStatus.COMPLETED,
        RunStatus.INCOMPLETE,
        RunStatus.FAILED,
    },
    RunStatus.REQUIRES_ACTION: _STOPPED | {RunStatus.QUEUED},
    RunStatus.CANCELLING: frozenset({RunStatus.CANCELLED, RunStatus.EXPIRED}),
    RunStatus.CANCELLED: _END,
    RunStatus.FAILED: _END,
    RunStatus.COMPLETED: _END,
    RunStatus.INCOMPLETE: _END,
    RunStatus.EXPIRED: _END,
}
#: Of each status of a message, those that may come next.
MESSAGE_FOLLOWERS: Final[Mapping[MessageStatus, frozenset[MessageStatus]]] = {
    "in_progress": frozenset({"completed", "incomplete"}),
    "completed": frozenset(),
    "incomplete": frozenset(),
}
#: Of each status of a run step, those that may come next.
STEP_FOLLOWERS: Final[Mapping[StepStatus, frozenset[StepStatus]]] = {
    "in_progress": frozenset({"completed", "failed", "cancelled", "expired"}),
    "completed": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
    "expired": frozenset(),
}

#: How a run that stops before its answer was there leaves the step and the message that it was at.
Stopped = Literal[RunStatus.CANCELLED, RunStatus.EXPIRED, RunStatus.FAILED]


def predecessors(status: RunStatus) -> frozenset[RunStatus]:
    """Return the statuses that a run may have before this one."""
    return frozenset(before for before, after in RUN_FOLLOWERS.items() if status in after)


def has_ended(status: RunStatus) -> bool:
    """Return whether nothing comes after a run's status."""
    return status not in ACTIVE


def time_field(status: RunStatus) -> str | None:
    """Return the name of the field that keeps when a run or step came to a status; None where none does."""
    kept = {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED}
    return f"{status}_at" if status in kept else None
