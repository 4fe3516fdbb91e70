"""The names of the events in a run's stream.

https://platform.openai.com/docs/api-reference/assistants-streaming/events
"""

from __future__ import annotations

from typing import Final

from microservices.assistants.objects.run import RunStatus
from microservices.assistants.objects.run_step import StepStatus

THREAD_CREATED: Final = "thread.created"
RUN_CREATED: Final = "thread.run.created"
MESSAGE_CREATED: Final = "thread.message.created"
MESSAGE_IN_PROGRESS: Final = "thread.message.in_progress"
MESSAGE_DELTA: Final = "thread.message.delta"
MESSAGE_COMPLETED: Final = "thread.message.completed"
MESSAGE_INCOMPLETE: Final = "thread.message.incomplete"
STEP_CREATED: Final = "thread.run.step.created"
STEP_IN_PROGRESS: Final = "thread.run.step.in_progress"
STEP_DELTA: Final = "thread.run.step.delta"


def of_run(status: RunStatus) -> str:
    """Return the event that says that a run came to a status."""
    return f"thread.run.{status}"


def of_step(status: StepStatus) -> str:
    """Return the event that says that a run step came to a status."""
    return f"thread.run.step.{status}"


REQUIRES_ACTION: Final = of_run(RunStatus.REQUIRES_ACTION)
#: After one of these no event comes.
LAST: Final = frozenset(
    of_run(status)
    for status in (
        RunStatus.COMPLETED,
        RunStatus.INCOMPLETE,
        RunStatus.FAILED,
        RunStatus.CANCELLED,
        RunStatus.EXPIRED,
    )
)
