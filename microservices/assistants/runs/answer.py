"""An answer while it comes: its message, its steps, and the events that tell of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from microservices.assistants.objects.json_object import JsonObject
from microservices.assistants.objects.message import Message, text_block
from microservices.assistants.objects.run import Run
from microservices.assistants.objects.run_step import RunStep
from microservices.assistants.runs import event_names
from microservices.assistants.runs.attached import message_metadata, step_metadata
from microservices.assistants.runs.gateway import Delta
from microservices.assistants.runs.journal import Journal
from microservices.assistants.runs.told import Told
from microservices.assistants.search.citations import CitationReader
from microservices.assistants.search.passages import Passage
from servicekit.ids import new_id

#: Why an answer is not all that the model had to say.
Cut = Literal["max_tokens", "content_filter"]


class AnswerWriter:
    """Tells an answer to a run's journal as it comes.

    Args:
        run: Whose answer.
        journal: Where it is told.
        passages: Those of the prompt, which the answer may cite.
    """

    def __init__(self, run: Run, journal: Journal, passages: Sequence[Passage]) -> None:
        self._run = run
        self._journal = journal
        self._citations = CitationReader(passages) if passages else None
        self._texts: list[str] = []
        self._annotations: list[JsonObject] = []
        self._message: Message | None = None
        self._message_step: RunStep | None = None
        self._tool_step: RunStep | None = None
        self._calls: dict[int, JsonObject] = {}

    @property
    def has_begun(self) -> bool:
        """Whether anything was told of it."""
        return self._message is not None or self._tool_step is not None

    @property
    def calls(self) -> list[JsonObject]:
        """The tool calls so far, as a run's `required_action` shows them."""
        return [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["function"]["name"], "arguments": call["function"]["arguments"]},
            }
            for _, call in sorted(self._calls.items())
        ]

    def add(self, delta: Delta) -> None:
        """Tell what a read brought."""
        if delta.text:
            self._add_text(*(self._citations.feed(delta.text) if self._citations else (delta.text, [])))
        for call in delta.tool_calls:
            self._add_call(call)

    def end_text(self) -> None:
        """Tell what was held back because it might have become a citation's mark."""
        if self._citations:
            self._add_text(*self._citations.end())

    def finish(self, usage: JsonObject | None, attached: JsonObject, cut: Cut | None) -> list[Told]:
        """Put the rows into their last state; return the events that say so, to be told with the run's.

        Args:
            usage: Of the answer; it is the last step's.
            attached: What the pipeline added.
            cut: Why it ended early; None: it did not.
        """
        told: list[Told] = []
        if self._message is not None and self._message_step is not None:
            told += self._finish_message(usage if self._tool_step is None else None, attached, cut)
        if self._tool_step is not None:
            details = {"type": "tool_calls", "tool_calls": [call for _, call in sorted(self._calls.items())]}
            self._tool_step = replace(self._tool_step, step_details=details, usage=usage)
            self._journal.put(self._tool_step)
        return told

    def fail_tool_calls(self) -> list[Told]:
        """Close a step whose calls were cut off; call it after `finish`."""
        if self._tool_step is None:
            return []
        error = {"code": "server_error", "message": "The tool calls were cut off by a token limit."}
        step = replace(self._tool_step, status="failed", failed_at=int(time.time()), last_error=error)
        self._journal.put(step)
        return [(event_names.of_step("failed"), step.to_json())]

    def _finish_message(self, usage: JsonObject | None, attached: JsonObject, cut: Cut | None) -> list[Told]:
        assert self._message is not None  # its caller looked  # noqa: S101
        assert self._message_step is not None  # noqa: S101
        now = int(time.time())
        ending: JsonObject = (
            {"status": "incomplete", "incomplete_at": now, "incomplete_details": {"reason": cut}}
            if cut
            else {"status": "completed", "completed_at": now}
        )
        content = [text_block("".join(self._texts), self._annotations)]
        message = replace(self._message, content=content, metadata=message_metadata(attached), **ending)
        step = replace(
            self._message_step, status="completed", completed_at=now, usage=usage, metadata=step_metadata(attached)
        )
        self._journal.put(message)
        self._journal.put(step)
        name = event_names.MESSAGE_INCOMPLETE if cut else event_names.MESSAGE_COMPLETED
        return [(name, message.to_json()), (event_names.of_step("completed"), step.to_json())]

    def _add_text(self, text: str, annotations: list[JsonObject]) -> None:
        if not text:
            return
        message = self._message or self._open_message()
        block: JsonObject = {"value": text}
        if annotations or not self._texts:
            # SDKs put the annotations of several deltas together by their index.
            known = len(self._annotations)
            block["annotations"] = [{"index": known + number, **item} for number, item in enumerate(annotations)]
        self._texts.append(text)
        self._annotations += annotations
        content = [{"index": 0, "type": "text", "text": block}]
        delta = {"id": message.id, "object": "thread.message.delta", "delta": {"content": content}}
        self._journal.tell((event_names.MESSAGE_DELTA, delta))

    def _add_call(self, delta: JsonObject) -> None:
        step = self._tool_step or self._open_tool_step()
        index = delta.get("index") or 0
        function = delta.get("function") or {}
        name, arguments = function.get("name") or "", function.get("arguments") or ""
        call = self._calls.get(index)
        if call is None:
            call = {
                "id": delta.get("id") or new_id("call_"),
                "type": "function",
                "function": {"name": name, "arguments": arguments, "output": None},
            }
            self._calls[index] = call
            self._tell_call(step, index, {**call, "function": {**call["function"], "arguments": ""}})
        else:
            call["function"]["name"] += name
            call["function"]["arguments"] += arguments
        if arguments:
            self._tell_call(step, index, {"type": "function", "function": {"arguments": arguments}})

    def _tell_call(self, step: RunStep, index: int, call: JsonObject) -> None:
        details = {"type": "tool_calls", "tool_calls": [{"index": index, **call}]}
        delta = {"id": step.id, "object": "thread.run.step.delta", "delta": {"step_details": details}}
        self._journal.tell((event_names.STEP_DELTA, delta))

    def _open_message(self) -> Message:
        run = self._run
        message = self._message = Message(
            id=new_id("msg_"),
            thread_id=run.thread_id,
            created_at=int(time.time()),
            role="assistant",
            content=[],
            status="in_progress",
            assistant_id=run.assistant_id,
            run_id=run.id,
        )
        details = {"type": "message_creation", "message_creation": {"message_id": message.id}}
        self._message_step = open_step(run, self._journal, details)
        self._journal.put(message)
        created = message.to_json()
        self._journal.tell((event_names.MESSAGE_CREATED, created), (event_names.MESSAGE_IN_PROGRESS, created))
        return message

    def _open_tool_step(self) -> RunStep:
        self._tool_step = open_step(self._run, self._journal, {"type": "tool_calls", "tool_calls": []})
        return self._tool_step


def open_step(run: Run, journal: Journal, details: JsonObject) -> RunStep:
    """Begin a step of a run and tell of it."""
    step = RunStep(
        id=new_id("step_"),
        run_id=run.id,
        thread_id=run.thread_id,
        assistant_id=run.assistant_id,
        created_at=int(time.time()),
        type=details["type"],
        step_details=details,
    )
    journal.put(step)
    created = step.to_json()
    journal.tell((event_names.STEP_CREATED, created), (event_names.STEP_IN_PROGRESS, created))
    return step
