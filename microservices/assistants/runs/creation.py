"""Makes runs: the run, its additional messages and its first events are one transaction."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.additions import add_messages, add_thread
from microservices.assistants.objects.assistant import Assistant
from microservices.assistants.objects.json_object import JsonObject
from microservices.assistants.objects.run import Run, RunStatus
from microservices.assistants.objects.run_event import RunEvent
from microservices.assistants.objects.thread import Thread
from microservices.assistants.runs import event_names
from microservices.assistants.runs.crash_points import Reach
from microservices.assistants.runs.new_run import NewRun, NewThread
from microservices.assistants.runs.told import Told, numbered
from microservices.assistants.store import assistants, run_events, runs, threads
from microservices.assistants.store.database import Database
from servicekit.ids import new_id


class Created(NamedTuple):
    """A run that was made, its thread, and its first events."""

    thread: Thread
    run: Run
    events: list[RunEvent]


@dataclass(frozen=True, slots=True)
class Creation:
    """What runs are made with.

    Attributes:
        database: Where.
        expires_after_seconds: From a run's creation.
        reach: Is told of the point before the commit.
    """

    database: Database
    expires_after_seconds: int
    reach: Reach

    async def run_on(self, owner: str, thread_id: str, new: NewRun) -> Created:
        """Make a run on a thread that is there; raises as `RunEngine.create`."""
        async with self.database.write() as connection:
            thread = await threads.lock(connection, owner, thread_id)
            return await self._insert(connection, thread, new, [])

    async def with_thread(self, owner: str, new_thread: NewThread, new: NewRun) -> Created:
        """Make a thread and a run on it."""
        async with self.database.write() as connection:
            thread = await add_thread(connection, owner, new_thread)
            return await self._insert(connection, thread, new, [(event_names.THREAD_CREATED, thread.to_json())])

    async def _insert(self, connection: AsyncConnection, thread: Thread, new: NewRun, told: list[Told]) -> Created:
        assistant = await assistants.get(connection, thread.owner, new.assistant_id)
        run = self._made_run(assistant, thread, new)
        await runs.insert(connection, run)
        await add_messages(connection, thread.owner, thread, new.additional_messages)
        shown = run.to_json()
        told = [*told, (event_names.RUN_CREATED, shown), (event_names.of_run(RunStatus.QUEUED), shown)]
        events = numbered(told, 0)
        await run_events.append(connection, run.id, events)
        self.reach("in_create")
        return Created(thread, run, events)

    def _made_run(self, assistant: Assistant, thread: Thread, new: NewRun) -> Run:
        now = int(time.time())
        instructions = new.instructions if new.instructions is not None else assistant.instructions
        response_format = new.response_format if new.response_format is not None else assistant.response_format
        tools = new.tools if new.tools is not None else assistant.tools
        return Run(
            id=new_id("run_"),
            owner=thread.owner,
            thread_id=thread.id,
            assistant_id=assistant.id,
            created_at=now,
            status=RunStatus.QUEUED,
            model=new.model or assistant.model,
            instructions="\n\n".join(part for part in (instructions, new.additional_instructions) if part),
            tools=tools,
            tool_resources=merged_resources(new.tool_resources or assistant.tool_resources, thread.tool_resources),
            metadata=new.metadata,
            expires_at=now + self.expires_after_seconds,
            max_prompt_tokens=new.max_prompt_tokens,
            max_completion_tokens=new.max_completion_tokens,
            truncation_strategy=new.truncation_strategy or {"type": "auto", "last_messages": None},
            tool_choice=new.tool_choice or "auto",
            parallel_tool_calls=new.parallel_tool_calls,
            response_format=response_format or "auto",
            temperature=new.temperature if new.temperature is not None else assistant.temperature,
            top_p=new.top_p if new.top_p is not None else assistant.top_p,
            reasoning_effort=new.reasoning_effort or assistant.reasoning_effort,
        )


def merged_resources(first: JsonObject | None, second: JsonObject | None) -> JsonObject | None:
    """Return what the tools of a run work on: the vector stores of both, the assistant's before the thread's."""
    stores: list[str] = []
    for resources in (first, second):
        stores += ((resources or {}).get("file_search") or {}).get("vector_store_ids") or ()
    return {"file_search": {"vector_store_ids": list(dict.fromkeys(stores))}} if stores else None
