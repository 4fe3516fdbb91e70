"""A run's statuses under any order of what can happen to it: each one follows the last by the table, and all end."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from microservices.assistants.objects.run import Run, RunStatus
from microservices.assistants.runs.new_run import NewRun, ToolOutput
from microservices.assistants.runs.status import RUN_FOLLOWERS, has_ended
from microservices.assistants.store import messages, run_steps, runs
from servicekit.errors import InvalidRequestError
from tests.support.assistants_engine import OWNER, EngineBench, data_of, engine_bench
from tests.support.assistants_store import opened_database
from tests.support.scripted_gateway import BROKEN, CALLER, CUT_SHORT, GREETER, SLOW, gateway
from tests.support.scripted_upstream import ScriptedUpstream

Value = TypeVar("Value")
_MODELS = (GREETER, CALLER, SLOW, BROKEN, CUT_SHORT)
_TOOL: dict[str, Any] = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
#: After so long, what moves by itself has moved, but for the model that got stuck.
_SETTLE_SECONDS = 0.02


class RunStatuses(RuleBasedStateMachine):
    """One thread, one engine, a model that does what its name says."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._folder = Path(tempfile.mkdtemp(prefix="run-status-"))
        self._stack = AsyncExitStack()
        self._bench: EngineBench
        self._thread_id = ""
        self._runs: list[str] = []

    @initialize()
    def begin(self) -> None:
        """Start the engine."""
        self._do(self._begin())

    async def _begin(self) -> None:
        upstream = await self._stack.enter_async_context(ScriptedUpstream(gateway))
        database = await self._stack.enter_async_context(opened_database(f"sqlite:///{self._folder / 'runs.sqlite'}"))
        self._bench = await self._stack.enter_async_context(engine_bench(database, upstream.openai_url))
        self._thread_id = await self._bench.thread("Hello?")

    @rule(model=st.sampled_from(_MODELS))
    def create(self, model: str) -> None:
        """A run is made unless one is active."""
        self._do(self._create(model))

    async def _create(self, model: str) -> None:
        active = await self._active()
        assistant = await self._bench.assistant(model=model, tools=[_TOOL] if model == CALLER else [])
        try:
            run = await self._bench.engine.create(OWNER, self._thread_id, NewRun(assistant))
        except InvalidRequestError:
            run = None
        if run is None:
            assert active is not None
        else:
            assert active is None or has_ended((await self._stored(active.id)).status)
            self._runs.append(run.id)

    @precondition(lambda self: self._runs)
    @rule()
    def cancel(self) -> None:
        """A run that has not ended is cancelled; one that has is not."""
        self._do(self._cancel())

    async def _cancel(self) -> None:
        run_id = self._runs[-1]
        before = await self._stored(run_id)
        try:
            run = await self._bench.engine.cancel(OWNER, self._thread_id, run_id)
        except InvalidRequestError:
            assert has_ended((await self._stored(run_id)).status)
        else:
            assert not has_ended(before.status)
            assert run.status is RunStatus.CANCELLED

    @precondition(lambda self: self._runs)
    @rule(is_right=st.booleans())
    def submit(self, is_right: bool) -> None:
        """Outputs are taken by a run that waits for just these."""
        self._do(self._submit(is_right))

    async def _submit(self, is_right: bool) -> None:
        run = await self._stored(self._runs[-1])
        output = ToolOutput("call_1" if is_right else "call_2", "sunny")
        try:
            submitted = await self._bench.engine.submit(OWNER, self._thread_id, run.id, [output])
        except InvalidRequestError:
            assert not is_right or run.status is not RunStatus.REQUIRES_ACTION
        else:
            assert submitted.run.status is RunStatus.QUEUED
            # It may have come to wait just after it was looked at.
            assert run.status in (RunStatus.QUEUED, RunStatus.IN_PROGRESS, RunStatus.REQUIRES_ACTION)

    @precondition(lambda self: self._runs)
    @rule()
    def expire(self) -> None:
        """The clock comes to a run's end."""
        self._do(self._expire())

    async def _expire(self) -> None:
        async with self._bench.database.write() as connection:
            await runs.update_if(connection, self._runs[-1], frozenset(RunStatus), {"expires_at": 1})
        await asyncio.sleep(3 * _SETTLE_SECONDS)

    @rule()
    def settle(self) -> None:
        """Time passes."""
        self._do(asyncio.sleep(_SETTLE_SECONDS))

    @invariant()
    def statuses_follow_the_table(self) -> None:
        """What each run's stream tells of its statuses is a path through the table, and ends where the run is."""
        for run_id in self._runs:
            self._do(self._check(run_id))

    async def _check(self, run_id: str) -> None:
        run = await self._stored(run_id)
        if not has_ended(run.status):
            return
        events = await self._bench.events(run)
        told = [RunStatus(data_of(event)["status"]) for event in events if _tells_status(event.event)]
        assert told[0] is RunStatus.QUEUED
        assert all(after in RUN_FOLLOWERS[before] for before, after in pairwise(told)), told
        assert told[-1] is run.status
        numbers = [event.number for event in events]
        assert numbers == sorted(set(numbers))
        async with self._bench.database.read() as connection:
            steps = await run_steps.of_run(connection, run_id)
            thread = await messages.recent(connection, self._thread_id, None)
        assert all(step.status != "in_progress" for step in steps)
        assert all(message.status != "in_progress" for message in thread if message.run_id == run_id)

    def teardown(self) -> None:
        """Stop the engine; what is at work is left."""
        self._do(self._stack.aclose())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        shutil.rmtree(self._folder)

    async def _active(self) -> Run | None:
        async with self._bench.database.read() as connection:
            return await runs.active_of(connection, self._thread_id)

    async def _stored(self, run_id: str) -> Run:
        async with self._bench.database.read() as connection:
            run = await runs.find(connection, run_id)
        assert run is not None
        return run

    def _do(self, work: Coroutine[Any, Any, Value]) -> Value:
        return self._loop.run_until_complete(asyncio.wait_for(work, 20))


def _tells_status(event: str) -> bool:
    return event.startswith("thread.run.") and not event.startswith(("thread.run.step.", "thread.run.created"))


TestRunStatuses = RunStatuses.TestCase
TestRunStatuses.settings = settings(
    max_examples=12, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
