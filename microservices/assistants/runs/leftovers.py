"""What a run that stops leaves open, its message and its steps, is closed with it."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Final

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.json_object import JsonObject
from microservices.assistants.objects.message import Message, text_block
from microservices.assistants.objects.run import Run, RunStatus
from microservices.assistants.objects.run_step import RunStep, StepStatus
from microservices.assistants.runs import event_names
from microservices.assistants.runs.status import Stopped
from microservices.assistants.runs.told import Told
from microservices.assistants.store import messages, run_events, run_steps, tables
from microservices.assistants.store.rows import to_row

_PAGE = 500
_STEP_STATUS: Final[dict[Stopped, StepStatus]] = {
    RunStatus.CANCELLED: "cancelled",
    RunStatus.EXPIRED: "expired",
    RunStatus.FAILED: "failed",
}


async def close_leftovers(
    connection: AsyncConnection, run: Run, why: Stopped, error: JsonObject | None = None
) -> list[Told]:
    """Close the open steps of a run and their messages; return the events that say so.

    A message keeps the text that was told of it: what the run's events say, all of which are written before.

    Args:
        connection: In the transaction that stops the run, or begins it anew.
        run: Which run.
        why: What happened to it, or to its last attempt.
        error: The steps' `last_error`.
    """
    told: list[Told] = []
    for step in await run_steps.of_run(connection, run.id):
        if step.status == "in_progress":
            if step.type == "message_creation":
                told += await _close_message(connection, run, step, why)
            told += await _close_step(connection, step, _STEP_STATUS[why], error)
    return told


async def _close_step(
    connection: AsyncConnection, step: RunStep, status: StepStatus, error: JsonObject | None
) -> list[Told]:
    changes: JsonObject = {"status": status, f"{status}_at": int(time.time()), "last_error": error}
    await run_steps.update(connection, step.id, changes)
    return [(event_names.of_step(status), replace(step, **changes).to_json())]


async def _close_message(connection: AsyncConnection, run: Run, step: RunStep, why: Stopped) -> list[Told]:
    message = await messages.get(connection, run.thread_id, step.step_details["message_creation"]["message_id"])
    closed = replace(
        message,
        status="incomplete",
        incomplete_at=int(time.time()),
        incomplete_details={"reason": f"run_{why}"},
        content=await _content_so_far(connection, run.id, message),
    )
    await messages.update(connection, message.id, to_row(closed, tables.messages))
    return [(event_names.MESSAGE_INCOMPLETE, closed.to_json())]


async def _content_so_far(connection: AsyncConnection, run_id: str, message: Message) -> list[JsonObject]:
    texts: list[str] = []
    annotations: list[JsonObject] = []
    async for delta in _deltas(connection, run_id):
        if delta["id"] == message.id:
            block = delta["delta"]["content"][0]["text"]
            texts.append(block["value"])
            annotations += ({**item} for item in block.get("annotations") or ())
    for item in annotations:
        item.pop("index")  # theirs in the stream; in the message they stand in their order
    return [text_block("".join(texts), annotations)] if texts else []


async def _deltas(connection: AsyncConnection, run_id: str) -> AsyncGenerator[JsonObject]:
    number = 0
    while page := await run_events.after(connection, run_id, number, _PAGE):
        number = page[-1].number
        for event in page:
            if event.event == event_names.MESSAGE_DELTA:
                yield orjson.loads(event.data)
