"""A loop in a run: attempts of its group until one is accepted, which then is what the rest of the run sees.

In stream mode an attempt streams where it is shown whatever comes of it: each one if the loop shows all, else only the
last that is allowed. Any other is run to its end first, and streamed when it is accepted.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import orjson

from megaservice.nodes.base import StreamPart
from megaservice.orchestration.attempt_run import AttemptRun
from megaservice.orchestration.controlled_run import ControlledRun
from megaservice.orchestration.feed import Feed
from megaservice.orchestration.node_state import NodeState
from megaservice.orchestration.readiness import NodeStatus
from megaservice.pipeline.control_plan import LoopPlan
from servicekit.errors import ServiceError
from servicekit.sse import encode_event

#: Where a chunk begins; there are no line feeds inside its JSON.
_CHUNK_START = re.compile(rb"^data: \{(?=.)", re.MULTILINE)


class Loop:
    """Runs one loop of a run, once.

    Args:
        plan: The loop.
        run: The run that it is part of.
        shown: The node of the group whose stream is read outside of it, and by how many; None if there is none.
    """

    def __init__(self, plan: LoopPlan, run: ControlledRun, shown: tuple[str, int] | None) -> None:
        self._plan = plan
        self._run = run
        self._shown = shown
        self._previous: dict[str, Any] | None = None
        #: How many attempts there were; None before the last has ended, and where none was made.
        self.attempts: int | None = None
        self._current: AttemptRun | None = None

    async def work(self) -> None:
        """Make the attempts; the nodes of the group end as those of the accepted one did.

        Raises:
            ServiceError: The condition cannot be evaluated.
        """
        number = 1
        while not self._is_live(number):
            attempt = self._attempt(number)
            if await self._finished(attempt, number):
                return
            number += 1
        assert self._shown is not None  # or nothing would be live  # noqa: S101
        name, reader_count = self._shown
        attempt = self._attempt(number)
        try:
            node = await attempt.begin(name)
        except BaseException as exc:
            await attempt.close()
            self._adopt(attempt)
            if isinstance(exc, ServiceError):
                return  # adopting it has failed the run, or the node is soft
            raise
        state = self._run.state(name)
        state.stream = node.stream
        if node.status is NodeStatus.STREAMING:
            state.publish(Feed(self._parts(attempt, number), reader_count))
        else:
            async with aclosing(self._parts(attempt, number)) as parts:
                async for _part in parts:
                    pass

    def _is_live(self, number: int) -> bool:
        """Return whether an attempt streams while it runs."""
        return self._shown is not None and (self._plan.shows_all or number == self._plan.max_attempts)

    def _attempt(self, number: int) -> AttemptRun:
        self._current = AttemptRun(self._run, self._plan, number, self._previous)
        return self._current

    async def close(self) -> None:
        """Stop the attempt that runs; its stream may never have been begun, and cannot do that itself then."""
        if self._current is not None:
            await self._current.close()

    async def _finished(self, attempt: AttemptRun, number: int) -> bool:
        """Run an attempt to its end; return whether the loop ends with it."""
        try:
            await attempt.finish()
        except ServiceError:
            self._adopt(attempt)
            return True
        except BaseException:
            self._adopt(attempt)
            raise
        return self._ends_with(attempt, number)

    def _ends_with(self, attempt: AttemptRun, number: int) -> bool:
        """Return whether the loop ends with an attempt that has ended; then its nodes are the run's."""
        was_made = any(status is not NodeStatus.SKIPPED for status in attempt.statuses.values())
        if not was_made:
            self._adopt(attempt)
            return True
        if not self._plan.until.holds(attempt.scope()) and number < self._plan.max_attempts:
            self._previous = attempt.outcome()
            return False
        self.attempts = number
        self._adopt(attempt)
        return True

    async def _parts(self, attempt: AttemptRun, number: int) -> AsyncGenerator[StreamPart]:
        """Yield the stream of an attempt, and of those after it; its nodes are the run's when the last has ended."""
        try:
            while True:
                async with aclosing(attempt.parts()) as parts:
                    async for part in parts:
                        yield self._marked(part, number)
                is_last = self._ends_with(attempt, number)
                if self._plan.shows_all:
                    yield _verdict(attempt.state(self._shown_name).head(), number, is_accepted=is_last)
                if is_last:
                    return
                number += 1
                attempt = self._attempt(number)
                await attempt.begin(self._shown_name)
        except ServiceError as exc:
            self._adopt(attempt)
            self._run.end_by(exc)
        finally:
            await attempt.close()
            for name in self._plan.members:
                self._run.state(name).cancel()  # where nobody reads any more; the others have ended

    @property
    def _shown_name(self) -> str:
        return self._shown[0] if self._shown else ""

    def _marked(self, part: StreamPart, number: int) -> StreamPart:
        if not self._plan.shows_all:
            return part
        return StreamPart(_CHUNK_START.sub(b'data: {"attempt":%d,' % number, part.encoded), part.text)

    def _adopt(self, attempt: AttemptRun) -> None:
        """Let the run's nodes end as the attempt's did."""
        self._run.kept_out |= attempt.kept_out
        for name in self._plan.members:
            _end_as(self._run, self._run.state(name), attempt.state(name))


def _end_as(run: ControlledRun, node: NodeState, other: NodeState) -> None:
    if other.status is NodeStatus.SUCCEEDED and other.output is not None:
        run.succeed(node, other.output)
    elif other.status is NodeStatus.FAILED and other.error is not None:
        run.fail(node, other.error)
    elif other.status is NodeStatus.SKIPPED:
        run.skip(node)
    else:
        node.cancel()


def _verdict(head: Mapping[str, Any], number: int, *, is_accepted: bool) -> StreamPart:
    """Return the chunk that ends an attempt that is shown."""
    chunk = {**head, "object": "chat.completion.chunk", "choices": [], "attempt": number, "accepted": is_accepted}
    return StreamPart(encode_event(orjson.dumps(chunk)), "")
