"""The run engine whose runs survive: our tables are the truth, dbos remembers who works at what (decision 17)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final

from microservices.assistants.objects.run import ACTIVE, Run, RunStatus
from microservices.assistants.objects.run_event import RunEvent
from microservices.assistants.objects.thread import Thread
from microservices.assistants.runs.checkpoints import Checkpoints
from microservices.assistants.runs.crash_points import killer
from microservices.assistants.runs.creation import Created, Creation
from microservices.assistants.runs.ending import end_run
from microservices.assistants.runs.engine import Submitted
from microservices.assistants.runs.following import follow
from microservices.assistants.runs.gateway import Gateway
from microservices.assistants.runs.journals import Journals, LostRaceError
from microservices.assistants.runs.limits import RunLimits
from microservices.assistants.runs.listening import Listener
from microservices.assistants.runs.new_run import NewRun, NewThread, ToolOutput
from microservices.assistants.runs.sweep import DATABASE_FAILURES, Sweep
from microservices.assistants.runs.tool_outputs import submit_outputs
from microservices.assistants.runs.turn import Tools, Turn
from microservices.assistants.runs.workflows import Workflows, workflow_file
from microservices.assistants.search.passages import Search
from microservices.assistants.settings import AssistantsSettings
from microservices.assistants.store import former_places, run_events, run_steps, runs
from microservices.assistants.store.database import Database
from servicekit.errors import InvalidRequestError

_INTERNAL: Final = {
    "code": "server_error",
    "message": "Something unexpected went wrong in the assistants service; its log has the details.",
}
#: How long a stopping process waits for what it is at work at to let go.
_LET_GO_SECONDS = 5.0
#: After so long, a turn that was started and did not begin here has begun elsewhere: followers read the table.
_SHOWN_SECONDS = 0.5
_log = logging.getLogger(__name__)


class DurableEngine:
    """Makes runs and brings each to an end, through crashes; see `RunEngine`.

    Use `async with`, inside the event loop that serves; one per process.

    Args:
        database: Where the runs are; its schema is there.
        gateway: Whom to ask.
        search: Of file_search.
        settings: Of the process.
        limits: Instead of those of the settings.
    """

    def __init__(
        self,
        database: Database,
        gateway: Gateway,
        search: Search,
        settings: AssistantsSettings,
        limits: RunLimits | None = None,
    ) -> None:
        self._database = database
        self._limits = limits or RunLimits.of(settings)
        self._reach = killer(settings.crash_file)
        self._journals = Journals(database)
        self._tools = Tools(self._journals, gateway, search, self._limits, self._reach)
        self._creation = Creation(database, self._limits.expires_after_seconds, self._reach)
        self._workflows = Workflows(database.url, self._work)
        chores = (self._take_over, self._start_queued, self._expire, self._stop_lost)
        self._sweep = Sweep(
            self._limits.sweep_seconds, self._is_anything_to_do, chores, urgent=self._start_queued, rare=self._prune
        )
        self._turns: dict[str, Turn] = {}
        self._starts: dict[str, asyncio.Task[None]] = {}
        self._has_backlog = False
        self._has_taken_over = False
        self._is_ending = False
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> DurableEngine:
        await self._stack.enter_async_context(self._journals)
        if not self._database.is_sqlite:
            await self._stack.enter_async_context(Listener(self._database.url, self._journals.changes))
        await self._stack.enter_async_context(self._workflows)
        if self._database.is_sqlite:
            files = (Path(str(self._database.url.database)), workflow_file(self._database.url))
            await self._stack.enter_async_context(Checkpoints(files))
        self._stack.push_async_callback(self._let_go)
        await self._stack.enter_async_context(self._sweep)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._is_ending = True
        await self._stack.aclose()

    async def create(self, owner: str, thread_id: str, new: NewRun) -> Run:
        """Make a run on a thread and start it."""
        created = await self._creation.run_on(owner, thread_id, new)
        self._begin(created)
        return created.run

    async def create_with_thread(self, owner: str, thread: NewThread, new: NewRun) -> tuple[Thread, Run]:
        """Make a thread and a run on it, and start the run."""
        created = await self._creation.with_thread(owner, thread, new)
        self._begin(created)
        return created.thread, created.run

    async def cancel(self, owner: str, thread_id: str, run_id: str) -> Run:
        """End a run for its owner, then stop its work; work elsewhere ends by itself."""
        while True:
            async with self._database.read() as connection:
                run = await runs.get(connection, owner, thread_id, run_id)
            if run.status not in ACTIVE:
                raise InvalidRequestError(f"Cannot cancel run {run_id} with status '{run.status}'.")
            with suppress(LostRaceError):
                ended = await end_run(self._journals, run, RunStatus.CANCELLED, self._reach)
                self._reach("after_cancel")
                self._stop(run_id)
                return ended

    async def submit(self, owner: str, thread_id: str, run_id: str, outputs: Sequence[ToolOutput]) -> Submitted:
        """Store the outputs of tool calls and go on with the run."""
        submitted = await submit_outputs(self._database, owner, thread_id, run_id, outputs, self._reach)
        self._reach("after_submit")
        self._journals.changes.tell(run_id)
        self._start_or_wait(run_id, await self._turn_id(run_id))
        return submitted

    def events(self, run_id: str, after: int = 0) -> AsyncGenerator[RunEvent]:
        """Yield the events of a run, see `RunEngine`."""
        return follow(self._journals, run_id, after)

    # ------------------------------------------------------------------------------------------ the work

    async def _work(self, run_id: str) -> None:
        """Do one turn of a run; dbos calls this."""
        if run_id in self._turns:
            return
        turn = self._turns[run_id] = Turn(self._tools, run_id)
        try:
            await turn.work()
        except Exception:  # noqa: BLE001 - the border of the worker: one run's surprise must not strand it
            _log.exception("run %s failed unexpectedly", run_id)
            await self._fail(run_id)
        finally:
            del self._turns[run_id]
        if self._has_backlog:
            self._sweep.hurry()
        if self._is_ending and turn.is_stopped:
            raise asyncio.CancelledError  # dbos keeps it as pending: the next process goes on with it

    async def _fail(self, run_id: str) -> None:
        """End a run whose turn went wrong; where not even this can be written, the run expires."""
        async with self._database.read() as connection:
            run = await runs.find(connection, run_id)
        if run is not None and run.status in (RunStatus.QUEUED, RunStatus.IN_PROGRESS):
            with suppress(LostRaceError):
                await end_run(self._journals, run, RunStatus.FAILED, self._reach, _INTERNAL)

    def _begin(self, created: Created) -> None:
        """Start a run's first turn; who follows it here needs no database for its first events."""
        self._reach("after_create")
        if self._free > 0:
            self._journals.show(created.run.id, created.events)
        self._start_or_wait(created.run.id, created.run.id)

    def _start_or_wait(self, run_id: str, turn_id: str) -> None:
        """Start a turn here, without waiting, if there is room; else leave the run queued for whoever has some."""
        if run_id in self._starts or run_id in self._turns:
            return
        if self._free <= 0:
            self._has_backlog = True
            return
        task = self._starts[run_id] = asyncio.create_task(self._start(run_id, turn_id))
        task.add_done_callback(lambda _: self._starts.pop(run_id, None))

    async def _start(self, run_id: str, turn_id: str) -> None:
        try:
            await self._workflows.start(run_id, turn_id)
        except DATABASE_FAILURES:
            _log.exception("run %s could not be started; the sweep will try again", run_id)
        asyncio.get_running_loop().call_later(_SHOWN_SECONDS, self._journals.close_shown, run_id)

    @property
    def _free(self) -> int:
        return self._limits.at_once - len(self._turns.keys() | self._starts.keys())

    async def _turn_id(self, run_id: str) -> str:
        """Return what tells a run's next turn from those before: how many steps it has had."""
        async with self._database.read() as connection:
            steps = await run_steps.of_run(connection, run_id)
        return f"{run_id}.{len(steps)}" if steps else run_id

    def _stop(self, run_id: str) -> None:
        turn = self._turns.get(run_id)
        if turn is not None:
            turn.stop()

    async def _let_go(self) -> None:
        """Stop the work at every run; each is left as it is, for the next process."""
        for task in self._starts.values():
            task.cancel()
        await self._journals.write_now()
        for turn in self._turns.values():
            turn.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LET_GO_SECONDS):
                while self._turns:  # noqa: ASYNC110 - they are dbos's tasks, not ours to await
                    await asyncio.sleep(0.01)

    # ---------------------------------------------------------------------------------------- the chores

    async def _is_anything_to_do(self) -> bool:
        """Return whether any run is active; at the start also turns may be left that have nothing more to do."""
        async with self._database.read() as connection:
            return await runs.is_any_active(connection) or not self._has_taken_over

    async def _start_queued(self) -> None:
        """Start runs that wait, as many as there is room for."""
        self._has_backlog = False
        if self._free <= 0:
            self._has_backlog = True
            return
        wanted = self._free + len(self._starts)
        async with self._database.read() as connection:
            queued = await runs.with_status(connection, {RunStatus.QUEUED}, wanted)
        self._has_backlog = len(queued) >= wanted
        for run in queued:
            if run.id not in self._starts and run.id not in self._turns:
                self._start_or_wait(run.id, await self._turn_id(run.id))

    async def _expire(self) -> None:
        """End the runs whose time is over."""
        async with self._database.read() as connection:
            overdue = await runs.due(connection, int(time.time()))
        for run in overdue:
            with suppress(LostRaceError):
                await end_run(self._journals, run, RunStatus.EXPIRED, self._reach)
                self._stop(run.id)

    async def _stop_lost(self) -> None:
        """Stop the work here at runs that another process has ended or goes on with."""
        begun = {run_id: turn for run_id, turn in self._turns.items() if turn.attempt}
        if not begun:
            return
        async with self._database.read() as connection:
            attempts = await runs.attempts_at_work(connection, begun.keys())
        for run_id, turn in begun.items():
            if attempts.get(run_id) != turn.attempt:
                turn.stop()

    async def _take_over(self) -> None:
        try:
            await self._workflows.take_over()
            self._has_taken_over = True
        except DATABASE_FAILURES:
            await self._workflows.reappear()
            raise

    async def _prune(self) -> None:
        """Forget what nobody will ask for again."""
        before = int(time.time() - self._limits.events_kept_seconds)
        pruned = 1
        while pruned:
            async with self._database.write() as connection:
                pruned = await run_events.prune(connection, before)
        async with self._database.write() as connection:
            await former_places.prune(connection, before)
        await self._workflows.prune(self._limits.events_kept_seconds)
