"""Takes the outputs of the tool calls that a run waits for; the run is queued again with them, in one transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.json_object import JsonObject
from microservices.assistants.objects.run import Run, RunStatus
from microservices.assistants.objects.run_step import RunStep
from microservices.assistants.runs import event_names
from microservices.assistants.runs.conversation import function_calls
from microservices.assistants.runs.crash_points import Reach
from microservices.assistants.runs.engine import Submitted
from microservices.assistants.runs.journals import notify
from microservices.assistants.runs.new_run import ToolOutput
from microservices.assistants.runs.told import numbered
from microservices.assistants.store import run_events, run_steps, runs
from microservices.assistants.store.database import Database
from servicekit.errors import InvalidRequestError


async def submit_outputs(
    database: Database, owner: str, thread_id: str, run_id: str, outputs: Sequence[ToolOutput], reach: Reach
) -> Submitted:
    """Store the outputs and queue the run; raises as `RunEngine.submit`."""
    async with database.write() as connection:
        run = await runs.get(connection, owner, thread_id, run_id)
        if run.status is not RunStatus.REQUIRES_ACTION:
            raise _not_waiting(run)
        step = await run_steps.last_open(connection, run.id)
        calls = function_calls(step) if step else []
        _check(calls, outputs)
        # Attempts are counted for each turn: outputs that came are no sign of a run that kills its process.
        changes: dict[str, Any] = {"status": RunStatus.QUEUED, "required_action": None, "attempts": 0}
        if step is None or not await runs.update_if(connection, run.id, {RunStatus.REQUIRES_ACTION}, changes):
            raise _not_waiting(run)
        after = await run_events.last_number(connection, run.id)
        queued = replace(run, **changes)
        done = await _complete(connection, step, calls, outputs)
        told = [
            (event_names.of_step("completed"), done.to_json()),
            (event_names.of_run(RunStatus.QUEUED), queued.to_json()),
        ]
        await run_events.append(connection, run.id, numbered(told, after))
        await notify(connection, run.id)
        reach("in_submit")
    return Submitted(queued, after)


async def _complete(
    connection: AsyncConnection, step: RunStep, calls: Sequence[JsonObject], outputs: Sequence[ToolOutput]
) -> RunStep:
    given = {output.tool_call_id: output.output for output in outputs}
    answered = [{**call, "function": {**call["function"], "output": given[call["id"]]}} for call in calls]
    changes: dict[str, Any] = {
        "status": "completed",
        "completed_at": int(time.time()),
        "step_details": {**step.step_details, "tool_calls": answered},
    }
    await run_steps.update(connection, step.id, changes)
    return replace(step, **changes)


def _not_waiting(run: Run) -> InvalidRequestError:
    return InvalidRequestError(f"Runs in status '{run.status}' do not accept tool outputs; run {run.id} has it.")


def _check(calls: Sequence[JsonObject], outputs: Sequence[ToolOutput]) -> None:
    """Raise unless there is one output for each call."""
    expected, given = [call["id"] for call in calls], [output.tool_call_id for output in outputs]
    if sorted(expected) != sorted(given):
        raise InvalidRequestError(
            f"Expected one tool output for each of the call ids {_listed(expected)}, got {_listed(given)}.",
            param="tool_outputs",
        )


def _listed(ids: Sequence[str]) -> str:
    return "[" + ", ".join(ids) + "]"
