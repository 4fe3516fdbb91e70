"""The run engine alone in the test's own loop, on a SQLite of its own, in front of a scripted gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import orjson

from microservices.assistants.objects.assistant import Assistant
from microservices.assistants.objects.message import Message, text_block
from microservices.assistants.objects.run import Run
from microservices.assistants.objects.run_event import RunEvent
from microservices.assistants.objects.thread import Thread
from microservices.assistants.runs.durable import DurableEngine
from microservices.assistants.runs.gateway import Gateway
from microservices.assistants.runs.limits import RunLimits
from microservices.assistants.runs.new_run import NewRun
from microservices.assistants.search.passages import Passage
from microservices.assistants.settings import AssistantsSettings
from microservices.assistants.store import assistants, messages, run_steps, runs, threads
from microservices.assistants.store.database import Database
from servicekit.http.client import HttpClient, Timeouts
from servicekit.ids import new_id

#: Whose everything is.
OWNER = ""
_END_SECONDS = 10.0
_QUICK_LIMITS = RunLimits(retry_seconds=(0.05, 0.05), sweep_seconds=0.05)


class Search:
    """Finds the passages that it was given."""

    def __init__(self, passages: Sequence[Passage] = ()) -> None:
        self._passages = list(passages)

    async def find(
        self, owner: str, vector_store_ids: Sequence[str], question: str, limit: int, score_threshold: float = 0.0
    ) -> list[Passage]:
        """Return them."""
        return self._passages[:limit]


class EngineBench:
    """An engine, and what a test asks of it and of the store.

    Attributes:
        engine: At work.
        database: Its.
    """

    def __init__(self, engine: DurableEngine, database: Database) -> None:
        self.engine = engine
        self.database = database

    async def thread(self, *texts: str) -> str:
        """Make a thread with a user's messages."""
        thread = Thread(new_id("thread_"), OWNER, 1)
        made = [Message(new_id("msg_"), thread.id, 1, "user", [text_block(text)]) for text in texts]
        async with self.database.write() as connection:
            await threads.insert(connection, thread)
            await messages.insert_many(connection, made)
        return thread.id

    async def assistant(self, **fields: Any) -> str:
        """Make an assistant."""
        assistant = Assistant(**{"id": new_id("asst_"), "owner": OWNER, "created_at": 1, "model": "m", **fields})
        async with self.database.write() as connection:
            await assistants.insert(connection, assistant)
        return assistant.id

    async def run(self, *texts: str, **fields: Any) -> Run:
        """Run a new thread with a user's messages by a new assistant."""
        thread_id = await self.thread(*(texts or ("Hello?",)))
        return await self.engine.create(OWNER, thread_id, NewRun(await self.assistant(), **fields))

    async def events(self, run: Run, after: int = 0) -> list[RunEvent]:
        """Return the events of a run until it ends or waits."""
        async with asyncio.timeout(_END_SECONDS), aclosing(self.engine.events(run.id, after)) as events:
            return [event async for event in events]

    async def finished(self, run: Run) -> Run:
        """Return a run that has ended or waits for tool outputs."""
        await self.events(run)
        async with self.database.read() as connection:
            found = await runs.find(connection, run.id)
        assert found is not None
        return found

    async def messages(self, run: Run) -> list[Message]:
        """Return the messages that a run made."""
        async with self.database.read() as connection:
            thread = await messages.recent(connection, run.thread_id, None)
        return [message for message in thread if message.run_id == run.id]

    async def step_statuses(self, run: Run) -> list[str]:
        """Return the statuses of a run's steps."""
        async with self.database.read() as connection:
            return [step.status for step in await run_steps.of_run(connection, run.id)]


def data_of(event: RunEvent) -> dict[str, Any]:
    """Return an event's object."""
    decoded: dict[str, Any] = orjson.loads(event.data)
    return decoded


@asynccontextmanager
async def engine_bench(
    database: Database,
    gateway_url: str,
    *,
    limits: RunLimits = _QUICK_LIMITS,
    timeouts: Timeouts | None = None,
    passages: Sequence[Passage] = (),
) -> AsyncIterator[EngineBench]:
    """Give an engine at work.

    Args:
        database: With its schema.
        gateway_url: Whom it asks.
        limits: Its bounds.
        timeouts: Of the gateway.
        passages: What file_search finds.
    """
    async with HttpClient() as http:
        gateway = Gateway(http, gateway_url, timeouts=timeouts)
        engine = DurableEngine(database, gateway, Search(passages), AssistantsSettings(), limits)
        async with engine:
            yield EngineBench(engine, database)
