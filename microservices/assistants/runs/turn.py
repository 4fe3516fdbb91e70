"""One turn of a run: the model is asked once, and what it says is stored.

A turn begins when a run is queued and ends where the run ends or waits for tool outputs. It may be begun several
times, when its process dies; each time is an attempt, which closes what the one before left open. Every write is
bound to the attempt, so that whoever was believed dead and is not writes nothing more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.json_object import JsonObject
from microservices.assistants.objects.run import Run, RunStatus
from microservices.assistants.objects.run_step import RunStep
from microservices.assistants.runs import event_names, file_search
from microservices.assistants.runs.answer import AnswerWriter, Cut
from microservices.assistants.runs.conversation import MOST_MESSAGES, Conversation, used_tokens
from microservices.assistants.runs.crash_points import Reach
from microservices.assistants.runs.gateway import Gateway, GatewayAnswer, is_away, last_error
from microservices.assistants.runs.journal import NUMBER_GAP, Journal
from microservices.assistants.runs.journals import Journals, LostRaceError
from microservices.assistants.runs.leftovers import close_leftovers
from microservices.assistants.runs.limits import RunLimits
from microservices.assistants.runs.told import Told
from microservices.assistants.search.passages import Passage, Search
from microservices.assistants.store import messages, run_events, run_steps, runs
from servicekit.errors import ContextLengthError, ServiceError, UpstreamError

_INTERRUPTED: Final = {"code": "server_error", "message": "The process that worked at it ended; it was begun anew."}
#: So often half of the messages are left out for a model whose context they do not fit into.
_HALVINGS: Final = 6
_TOKEN_KINDS = ("prompt_tokens", "completion_tokens", "total_tokens")


@dataclass(frozen=True, slots=True)
class Tools:
    """What turns work with."""

    journals: Journals
    gateway: Gateway
    search: Search
    limits: RunLimits
    reach: Reach


class Turn:
    """The work at one run in this process."""

    def __init__(self, tools: Tools, run_id: str) -> None:
        self.run_id = run_id
        self._tools = tools
        self._journals = tools.journals
        self._journal: Journal | None = None
        self._asking: asyncio.Task[GatewayAnswer] | None = None
        #: Whether it was told to stop.
        self.is_stopped = False

    @property
    def attempt(self) -> int:
        """Which attempt this is; 0 before it has begun."""
        return self._journal.attempt if self._journal else 0

    def stop(self) -> None:
        """Cancel the model's work; whoever calls this has seen to the run, or leaves it to the next attempt."""
        self.is_stopped = True
        if self._asking is not None:
            self._asking.cancel()

    async def work(self) -> None:
        """Bring the run to its end or to where it waits for tool outputs; quietly nothing if others did."""
        try:
            conversation = await self._begin()
            if conversation is None or self._journal is None or self.is_stopped:
                return
            self._tools.reach("after_begin")
            await self._answer(conversation, self._journal)
            self._tools.reach("after_finalise")
        except LostRaceError:
            return
        finally:
            if self._asking is not None:
                self._asking.cancel()
            if self._journal is not None:
                self._journals.close(self._journal)
            self._journals.close_shown(self.run_id)

    async def _begin(self) -> Conversation | None:
        """Take the run and read what it is about; None: there is nothing to do."""
        async with self._journals.database.write() as connection:
            run = await runs.find(connection, self.run_id)
            if run is None or run.status not in (RunStatus.QUEUED, RunStatus.IN_PROGRESS):
                return None
            changes: dict[str, Any] = {
                "status": RunStatus.IN_PROGRESS,
                "started_at": run.started_at or int(time.time()),
                "attempts": run.attempts + 1,
            }
            if not await runs.update_if(connection, run.id, {run.status}, changes, run.attempts):
                return None
            conversation, journal, told = await self._taken(connection, run, replace(run, **changes))
            writing = journal.begin_write()
            await writing.write(connection, told)
        journal.begin(conversation.run.attempts)
        self._journal = journal
        self._journals.add(journal)
        writing.end(is_committed=True)
        return conversation

    async def _taken(
        self, connection: AsyncConnection, before: Run, run: Run
    ) -> tuple[Conversation, Journal, list[Told]]:
        """Read what a run that was just taken is about, and close what an attempt before this one left open."""
        told: list[Told] = [(event_names.of_run(RunStatus.IN_PROGRESS), run.to_json())]
        is_first = before.status is RunStatus.QUEUED
        if not is_first:
            told = [*await close_leftovers(connection, before, RunStatus.FAILED, _INTERRUPTED), *told]
        steps = await run_steps.of_run(connection, run.id)
        thread = await messages.recent(connection, run.thread_id, _message_limit(run, steps))
        journal = self._journals.get(run.id)
        if journal is None or journal.attempt or steps or not is_first:
            number = await run_events.last_number(connection, run.id) + (0 if is_first else NUMBER_GAP)
            journal = Journal(run.id, run.attempts, number, self._journals.changes)
        return Conversation(run, thread, steps), journal, told

    async def _answer(self, conversation: Conversation, journal: Journal) -> None:
        run = conversation.run
        if run.attempts > self._tools.limits.attempts:
            died = f"Its process died {self._tools.limits.attempts} times while it was at work."
            await self._fail(conversation, {"code": "server_error", "message": died})
            return
        answer = AnswerWriter(run, journal, ())
        try:
            conversation = await self._with_passages(conversation, journal)
            if self.is_stopped:
                return
            if (reason := _exhausted(conversation)) is not None:
                await self._end(conversation, answer, None, RunStatus.INCOMPLETE, reason)
                return
            answer = AnswerWriter(run, journal, conversation.passages)
            self._asking = asyncio.create_task(self._ask(conversation, answer))
            came = await self._asking
        except ServiceError as error:
            await self._fail(conversation, last_error(error))
        except asyncio.CancelledError:
            if not self.is_stopped:
                raise
        else:
            self._tools.reach("before_finalise")
            await self._finalise(conversation, answer, came)

    async def _with_passages(self, conversation: Conversation, journal: Journal) -> Conversation:
        """Return the conversation with what file_search finds, if the run wants it."""
        run = conversation.run
        if not file_search.is_wanted(run):
            return conversation
        passages: list[Passage] | None = file_search.found_before(conversation.steps)
        if passages is None:
            passages = await file_search.find(self._tools.search, run, conversation.question)
            step = file_search.tell_search(run, journal, passages)
            self._journals.write_soon()
            return replace(conversation, passages=passages, steps=[*conversation.steps, step])
        return replace(conversation, passages=passages)

    async def _ask(self, conversation: Conversation, answer: AnswerWriter) -> GatewayAnswer:
        """Ask the model; again while the gateway is away, and with fewer messages where they do not fit."""
        budget = conversation.prompt_tokens_left
        waits, halvings = list(self._tools.limits.retry_seconds), _HALVINGS
        while True:
            try:
                return await self._listen(conversation.payload(budget), answer)
            except UpstreamError as error:
                if answer.has_begun or not waits or not is_away(error):
                    raise
                await asyncio.sleep(waits.pop(0))
            except ContextLengthError:
                if answer.has_begun or not halvings or conversation.run.truncation_strategy.get("type") != "auto":
                    raise
                halvings -= 1
                budget = (budget or conversation.estimated_prompt_tokens()) // 2

    async def _listen(self, payload: JsonObject, answer: AnswerWriter) -> GatewayAnswer:
        assert self._journal is not None  # begun  # noqa: S101
        came = self._tools.gateway.ask(payload)
        async with aclosing(came.deltas()) as deltas:
            async for delta in deltas:
                is_first = not answer.has_begun
                answer.add(delta)
                self._journals.write_soon(at_once=is_first)
                await self._journals.room_for(self._journal)
                self._tools.reach("mid_stream")
        answer.end_text()
        return came

    async def _finalise(self, conversation: Conversation, answer: AnswerWriter, came: GatewayAnswer) -> None:
        usage = _token_counts(came.usage)
        prompt_left = conversation.prompt_tokens_left
        if came.finish_reason == "content_filter":
            error = {"code": "invalid_prompt", "message": "A content filter of the model held the answer back."}
            await self._fail(conversation, error)
        elif came.finish_reason == "length":
            await self._end(conversation, answer, came, RunStatus.INCOMPLETE, "max_completion_tokens")
        elif prompt_left is not None and usage is not None and usage["prompt_tokens"] > prompt_left:
            await self._end(conversation, answer, came, RunStatus.INCOMPLETE, "max_prompt_tokens")
        elif answer.calls:
            await self._require_action(conversation.run, answer, came)
            self._tools.reach("after_requires_action")
        else:
            await self._end(conversation, answer, came, RunStatus.COMPLETED, None)

    async def _require_action(self, run: Run, answer: AnswerWriter, came: GatewayAnswer) -> None:
        action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": answer.calls}}
        changes = {"status": RunStatus.REQUIRES_ACTION, "required_action": action}
        await self._change(run, changes, lambda: answer.finish(_token_counts(came.usage), came.attached, None))

    async def _end(
        self,
        conversation: Conversation,
        answer: AnswerWriter,
        came: GatewayAnswer | None,
        status: RunStatus,
        reason: str | None,
    ) -> None:
        """End the run with what the model said.

        Args:
            conversation: Before the answer.
            answer: What was said.
            came: The same, as a whole; None: the model was not asked.
            status: `completed` or `incomplete`.
            reason: Why it is incomplete.
        """
        usage = _token_counts(came.usage) if came else None
        cut: Cut | None = "max_tokens" if reason == "max_completion_tokens" else None
        attached = came.attached if came else {}

        def finished() -> list[Told]:
            told = answer.finish(usage, attached, cut)
            return told if reason is None else told + answer.fail_tool_calls()

        changes: dict[str, Any] = {
            "status": status,
            "usage": _sum(conversation.steps, usage),
            "incomplete_details": {"reason": reason} if reason else None,
        }
        if status is RunStatus.COMPLETED:
            changes["completed_at"] = int(time.time())
        await self._change(conversation.run, changes, finished)

    async def _fail(self, conversation: Conversation, error: JsonObject) -> None:
        """End the run with an error; what it has open is closed."""
        assert self._journal is not None  # begun  # noqa: S101
        run = conversation.run
        changes: dict[str, Any] = {
            "status": RunStatus.FAILED,
            "failed_at": int(time.time()),
            "last_error": error,
            "usage": _sum(conversation.steps, None),
        }
        async with self._journals.change(self._journal, {RunStatus.IN_PROGRESS}, changes) as change:
            await change.write_pending()
            change.told += await close_leftovers(change.connection, run, RunStatus.FAILED, error)
            change.told.append((event_names.of_run(RunStatus.FAILED), replace(run, **changes).to_json()))

    async def _change(self, run: Run, changes: dict[str, Any], finish: Callable[[], list[Told]]) -> None:
        """Write a change of the run with its answer.

        Args:
            run: As it was.
            changes: Its new status and what goes with it.
            finish: Puts the answer's rows into their last state; called once it is certain that nobody else has
                ended the run, who would write them with an end of another kind.
        """
        assert self._journal is not None  # begun  # noqa: S101
        async with self._journals.change(self._journal, {RunStatus.IN_PROGRESS}, changes) as change:
            change.told += finish()
            change.told.append((event_names.of_run(changes["status"]), replace(run, **changes).to_json()))
            self._tools.reach("in_finalise")


def _message_limit(run: Run, steps: Sequence[RunStep]) -> int:
    if run.truncation_strategy.get("type") == "last_messages":
        return min(run.truncation_strategy.get("last_messages") or 1, MOST_MESSAGES) + len(steps)
    return MOST_MESSAGES


def _exhausted(conversation: Conversation) -> str | None:
    """Return which bound of tokens leaves nothing for another answer."""
    completion, prompt = conversation.completion_tokens_left, conversation.prompt_tokens_left
    if completion is not None and completion <= 0:
        return "max_completion_tokens"
    return "max_prompt_tokens" if prompt is not None and prompt <= 0 else None


def _token_counts(usage: JsonObject | None) -> JsonObject | None:
    """Return the API's three counts of a chat answer's usage."""
    return None if usage is None else {kind: usage.get(kind) or 0 for kind in _TOKEN_KINDS}


def _sum(steps: Sequence[RunStep], usage: JsonObject | None) -> JsonObject:
    return {kind: used_tokens(steps, kind) + ((usage or {}).get(kind) or 0) for kind in _TOKEN_KINDS}
