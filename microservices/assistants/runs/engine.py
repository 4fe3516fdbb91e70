"""The run engine: what the routes ask for, whatever makes runs durable behind it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple, Protocol

from microservices.assistants.objects.run import Run
from microservices.assistants.objects.run_event import RunEvent
from microservices.assistants.objects.thread import Thread
from microservices.assistants.runs.new_run import NewRun, NewThread, ToolOutput

__all__ = ["RunEngine", "RunEvent", "Submitted"]


class Submitted(NamedTuple):
    """A run that goes on, and the number of the last event before it did."""

    run: Run
    after: int


class RunEngine(Protocol):
    """Makes runs, brings each of them to an end, and tells what happens on the way."""

    async def create(self, owner: str, thread_id: str, new: NewRun) -> Run:
        """Make a run on a thread: the run, its additional messages and its start belong together.

        Raises:
            NotFoundError: No such thread or assistant of this owner.
            InvalidRequestError: The thread has an active run.
        """

    async def create_with_thread(self, owner: str, thread: NewThread, new: NewRun) -> tuple[Thread, Run]:
        """Make a thread and a run on it; the run's first event is then `thread.created`."""

    async def cancel(self, owner: str, thread_id: str, run_id: str) -> Run:
        """Cancel a run: no further step of it runs, wherever it runs.

        Raises:
            NotFoundError: No such run.
            InvalidRequestError: It has ended.
        """

    async def submit(self, owner: str, thread_id: str, run_id: str, outputs: Sequence[ToolOutput]) -> Submitted:
        """Give the outputs of the tool calls that a run waits for; it goes on.

        Raises:
            NotFoundError: No such run.
            InvalidRequestError: It does not wait for them, or they are not those that it waits for.
        """

    def events(self, run_id: str, after: int = 0) -> AsyncGenerator[RunEvent]:
        """Yield the events of a run with a number above `after`, those to come as they happen.

        Ends when the run has ended or waits for tool outputs. The run may be another process's.
        """
