"""What users of the Assistants API do, with whichever version of OpenAI's SDK runs this file.

python assistants_flows.py BASE_URL

Needs nothing but the SDK: it is run by other interpreters than the tests'. The models are those of
tests/support/scripted_gateway.py.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import openai
from openai import AssistantEventHandler, AsyncAssistantEventHandler, AsyncOpenAI, OpenAI
from openai.types.beta import AssistantStreamEvent
from openai.types.beta.threads import Text, TextDelta
from openai.types.beta.threads.runs import RunStep, ToolCall, ToolCallDelta

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
WAIT_SECONDS = 30.0


def refused(
    error: type[openai.APIStatusError], call: Callable[..., object], *args: Any, **fields: Any
) -> openai.APIStatusError:
    """Call what must be refused with one class of error, and return the error."""
    raised: openai.APIStatusError | None = None
    try:
        call(*args, **fields)
    except openai.APIStatusError as exc:
        raised = exc
    assert type(raised) is error, f"{error.__name__} was expected of {call}, {raised!r} came"
    assert raised.request_id, "an error without x-request-id"
    return raised


def new_thread(client: OpenAI, text: str = "Hello") -> str:
    """Make a thread with one message."""
    return client.beta.threads.create(messages=[{"role": "user", "content": text}]).id


def new_assistant(client: OpenAI, model: str = "greeter", **fields: Any) -> str:
    """Make an assistant."""
    return client.beta.assistants.create(model=model, **fields).id


def assistants(client: OpenAI) -> None:
    """Made, shown, changed, deleted."""
    made = client.beta.assistants.create(
        model="greeter",
        name="Tutor",
        description="Teaches",
        instructions="You teach.",
        tools=[WEATHER, {"type": "file_search"}],
        metadata={"team": "a"},
        temperature=0.5,
        top_p=0.9,
        response_format={"type": "json_object"},
    )
    assert made.id.startswith("asst_")
    assert client.beta.assistants.retrieve(made.id) == made
    assert (made.object, made.name, made.temperature, made.metadata) == ("assistant", "Tutor", 0.5, {"team": "a"})
    assert [tool.type for tool in made.tools] == ["function", "file_search"]
    changed = client.beta.assistants.update(made.id, name="Coach", metadata={"b": "2"}, description=None)
    assert (changed.name, changed.metadata, changed.description) == ("Coach", {"b": "2"}, None)
    assert (changed.instructions, changed.model, changed.top_p) == ("You teach.", "greeter", 0.9)
    gone = client.beta.assistants.delete(made.id)
    assert (gone.deleted, gone.object, gone.id) == (True, "assistant.deleted", made.id)
    refused(openai.NotFoundError, client.beta.assistants.retrieve, made.id)


def pages(client: OpenAI) -> None:
    """Every object once, in order, whatever the page's size."""
    ids = [new_assistant(client, name=f"page-{number}") for number in range(5)]
    listed = [item.id for item in client.beta.assistants.list(limit=2)]
    assert listed[:5] == ids[::-1]
    page = client.beta.assistants.list(limit=2, order="asc", after=ids[0])
    assert [item.id for item in page.data] == ids[1:3]
    assert page.has_more
    before = client.beta.assistants.list(order="asc", before=ids[3], after=ids[0])
    assert [item.id for item in before.data] == ids[1:3]
    for assistant_id in ids:
        client.beta.assistants.delete(assistant_id)


def threads_and_messages(client: OpenAI) -> None:
    """Threads with messages of text and images; metadata replaced and cleared."""
    thread = client.beta.threads.create(metadata={"a": "1"})
    assert (thread.object, thread.metadata) == ("thread", {"a": "1"})
    assert client.beta.threads.update(thread.id, metadata={"b": "2"}).metadata == {"b": "2"}
    assert client.beta.threads.retrieve(thread.id).metadata == {"b": "2"}
    first = client.beta.threads.messages.create(thread.id, role="user", content="Hello ☕")
    image: Any = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    second = client.beta.threads.messages.create(
        thread.id, role="assistant", content=[{"type": "text", "text": "See"}, image], metadata={"k": "v"}
    )
    assert (first.content[0].type, second.content[1].type) == ("text", "image_url")
    assert first.content[0].type == "text"
    assert (first.content[0].text.value, first.content[0].text.annotations) == ("Hello ☕", [])
    assert [item.id for item in client.beta.threads.messages.list(thread.id, limit=1)] == [second.id, first.id]
    shown = client.beta.threads.messages.retrieve(second.id, thread_id=thread.id)
    assert shown == second
    changed = client.beta.threads.messages.update(second.id, thread_id=thread.id, metadata=None)
    assert changed.metadata == {}
    gone = client.beta.threads.messages.delete(first.id, thread_id=thread.id)
    assert (gone.deleted, gone.object) == (True, "thread.message.deleted")
    assert client.beta.threads.delete(thread.id).object == "thread.deleted"
    refused(openai.NotFoundError, client.beta.threads.messages.list, thread.id)


def polled_run(client: OpenAI) -> None:
    """A run that is waited for; its message, its step, its usage."""
    assistant_id, thread_id = new_assistant(client, instructions="You greet."), new_thread(client)
    run = client.beta.threads.runs.create_and_poll(
        thread_id=thread_id,
        assistant_id=assistant_id,
        additional_instructions="Be short.",
        additional_messages=[{"role": "user", "content": "And again"}],
        metadata={"k": "v"},
        truncation_strategy={"type": "last_messages", "last_messages": 5},
    )
    assert (run.status, run.last_error, run.model) == ("completed", None, "greeter")
    assert run.usage is not None
    assert (run.usage.prompt_tokens, run.usage.completion_tokens, run.usage.total_tokens) == (7, 3, 10)
    assert run.instructions.startswith("You greet.")
    answer, added, _ = client.beta.threads.messages.list(thread_id).data
    assert answer.content[0].type == added.content[0].type == "text"
    assert (answer.content[0].text.value, answer.role, answer.run_id) == ("Ciao mondo", "assistant", run.id)
    assert (answer.assistant_id, added.content[0].text.value) == (assistant_id, "And again")
    [of_run] = client.beta.threads.messages.list(thread_id, run_id=run.id).data
    assert of_run.id == answer.id
    [step] = client.beta.threads.runs.steps.list(run.id, thread_id=thread_id).data
    assert step.step_details.type == "message_creation"
    assert step.step_details.message_creation.message_id == answer.id
    assert client.beta.threads.runs.steps.retrieve(step.id, thread_id=thread_id, run_id=run.id) == step
    assert client.beta.threads.runs.update(run.id, thread_id=thread_id, metadata={"a": "b"}).metadata == {"a": "b"}
    assert [item.id for item in client.beta.threads.runs.list(thread_id)] == [run.id]


class Handler(AssistantEventHandler):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.text = ""
        self.arguments = ""
        self.steps_done: list[str] = []

    def on_event(self, event: AssistantStreamEvent) -> None:
        """Keep the event's name."""
        self.told.append(event.event)

    def on_text_delta(self, delta: TextDelta, snapshot: Text) -> None:
        """Keep the text, and compare it with the SDK's own sum."""
        self.text += delta.value or ""
        assert snapshot.value == self.text

    def on_tool_call_delta(self, delta: ToolCallDelta, snapshot: ToolCall) -> None:
        """Keep the arguments."""
        assert delta.type == snapshot.type == "function"
        assert delta.function is not None
        self.arguments += delta.function.arguments or ""
        assert snapshot.function.arguments == self.arguments

    def on_run_step_done(self, run_step: RunStep) -> None:
        """Keep the step's id."""
        assert run_step.status == "completed"
        self.steps_done.append(run_step.id)

    def on_exception(self, exception: Exception) -> None:
        """Keep the failure."""
        self.told.append(f"exception {exception}")


def streamed_run(client: OpenAI) -> None:
    """A run told event by event, with the SDK's snapshots at the end."""
    assistant_id, thread_id = new_assistant(client), new_thread(client)
    handler = Handler()
    with client.beta.threads.runs.create_and_stream(
        thread_id=thread_id, assistant_id=assistant_id, event_handler=handler
    ) as stream:
        stream.until_done()
        run, [message], [step] = stream.current_run, stream.get_final_messages(), stream.get_final_run_steps()
    assert run is not None
    assert (run.status, handler.text, message.status) == ("completed", "Ciao mondo", "completed")
    assert (step.type, handler.steps_done) == ("message_creation", [step.id])
    told = [name for name in handler.told if name != "thread.message.delta"]
    assert told[:3] == ["thread.run.created", "thread.run.queued", "thread.run.in_progress"], told
    assert told[-1] == "thread.run.completed", told
    wanted = ("thread.run.step.created", "thread.message.created", "thread.message.completed")
    assert set(wanted) < set(told), told


def tool_calls_polled(client: OpenAI) -> None:
    """A run that asks for a function and goes on with what it gave."""
    assistant_id, thread_id = new_assistant(client, "caller", tools=[WEATHER]), new_thread(client)
    run = client.beta.threads.runs.create_and_poll(thread_id=thread_id, assistant_id=assistant_id)
    assert (run.status, run.required_action is not None) == ("requires_action", True)
    assert run.required_action is not None
    [call] = run.required_action.submit_tool_outputs.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Rome"})
    runs = client.beta.threads.runs
    wrong: Any = [{"tool_call_id": "call_of_nobody", "output": "sunny"}]
    refused(openai.BadRequestError, runs.submit_tool_outputs, run.id, thread_id=thread_id, tool_outputs=wrong)
    run = runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=thread_id, tool_outputs=[{"tool_call_id": call.id, "output": "sunny"}]
    )
    assert (run.status, run.required_action) == ("completed", None)
    message = client.beta.threads.messages.list(thread_id).data[0]
    assert message.content[0].type == "text"
    assert message.content[0].text.value == "It is sunny"
    steps = runs.steps.list(run.id, thread_id=thread_id, order="asc").data
    assert [step.type for step in steps] == ["tool_calls", "message_creation"]
    assert steps[0].step_details.type == "tool_calls"
    [done] = steps[0].step_details.tool_calls
    assert done.type == "function"
    assert done.function.output == "sunny"
    outputs: Any = [{"tool_call_id": call.id, "output": "again"}]
    refused(openai.BadRequestError, runs.submit_tool_outputs, run.id, thread_id=thread_id, tool_outputs=outputs)


def tool_calls_streamed(client: OpenAI) -> None:
    """The same, streamed: one stream until the call, another one after it."""
    assistant_id, thread_id = new_assistant(client, "caller", tools=[WEATHER]), new_thread(client)
    first = Handler()
    with client.beta.threads.runs.stream(thread_id=thread_id, assistant_id=assistant_id, event_handler=first) as asking:
        asking.until_done()
        run = asking.current_run
    assert run is not None
    assert (run.status, first.told[-1]) == ("requires_action", "thread.run.requires_action")
    assert json.loads(first.arguments) == {"city": "Rome"}
    assert run.required_action is not None
    [call] = run.required_action.submit_tool_outputs.tool_calls
    second = Handler()
    with client.beta.threads.runs.submit_tool_outputs_stream(
        run_id=run.id,
        thread_id=thread_id,
        tool_outputs=[{"tool_call_id": call.id, "output": "sunny"}],
        event_handler=second,
    ) as answering:
        answering.until_done()
    assert second.text == "It is sunny"
    assert (second.told[-1], "thread.run.created" in second.told) == ("thread.run.completed", False)


def thread_and_run(client: OpenAI) -> None:
    """A thread and its run in one request: waited for, and streamed from `thread.created` on."""
    assistant_id = new_assistant(client)
    thread: Any = {"messages": [{"role": "user", "content": "Hello"}], "metadata": {"k": "v"}}
    made = client.beta.threads.create_and_run(assistant_id=assistant_id, thread=thread)
    assert made.status == "queued"
    assert client.beta.threads.retrieve(made.thread_id).metadata == {"k": "v"}
    run = client.beta.threads.create_and_run_poll(assistant_id=assistant_id, thread=thread)
    assert run.status == "completed"
    handler = Handler()
    with client.beta.threads.create_and_run_stream(
        assistant_id=assistant_id, thread=thread, event_handler=handler
    ) as stream:
        stream.until_done()
    assert (handler.text, handler.told[0]) == ("Ciao mondo", "thread.created")
    raw = list(client.beta.threads.create_and_run(assistant_id=assistant_id, thread=thread, stream=True))
    assert (raw[0].event, raw[-1].event) == ("thread.created", "thread.run.completed")


def cancelled_run(client: OpenAI) -> None:
    """A run that is told to stop; while it goes on its thread is busy."""
    assistant_id, thread_id = new_assistant(client, "slow"), new_thread(client)
    runs, messages = client.beta.threads.runs, client.beta.threads.messages
    run = runs.create(thread_id, assistant_id=assistant_id)
    assert run.status == "queued"
    error = refused(openai.BadRequestError, runs.create, thread_id, assistant_id=assistant_id)
    assert f"Thread {thread_id} already has an active run {run.id}." in error.message, error.message
    error = refused(openai.BadRequestError, messages.create, thread_id, role="user", content="x")
    assert f"Can't add messages to {thread_id} while a run {run.id} is active." in error.message, error.message
    stopping = runs.cancel(run.id, thread_id=thread_id)
    assert stopping.status in ("cancelling", "cancelled"), stopping.status
    stopped = runs.poll(run.id, thread_id=thread_id)
    assert (stopped.status, stopped.cancelled_at is not None) == ("cancelled", True)
    refused(openai.BadRequestError, runs.cancel, run.id, thread_id=thread_id)
    messages.create(thread_id, role="user", content="Now it is free")


def runs_that_do_not_complete(client: OpenAI) -> None:
    """A model that fails, and one that comes to the end of its tokens."""
    thread_id = new_thread(client)
    assistant_id = new_assistant(client)
    runs = client.beta.threads.runs
    failed = runs.create_and_poll(thread_id=thread_id, assistant_id=assistant_id, model="broken")
    assert failed.last_error is not None
    assert (failed.status, failed.last_error.code) == ("failed", "server_error")
    assert "on fire" in failed.last_error.message
    short = runs.create_and_poll(thread_id=thread_id, assistant_id=assistant_id, model="cut-short")
    assert short.incomplete_details is not None
    assert (short.status, short.incomplete_details.reason) == ("incomplete", "max_completion_tokens")
    handler = Handler()
    with runs.stream(thread_id=thread_id, assistant_id=assistant_id, model="broken", event_handler=handler) as stream:
        stream.until_done()
    assert handler.told[-1] == "thread.run.failed"


def graded_run(client: OpenAI) -> None:
    """What a pipeline attaches is in the message's metadata."""
    thread_id, assistant_id = new_thread(client), new_assistant(client, "translate-and-grade")
    run = client.beta.threads.runs.create_and_poll(thread_id=thread_id, assistant_id=assistant_id)
    assert run.status == "completed"
    metadata: Any = client.beta.threads.messages.list(thread_id).data[0].metadata
    assert float(metadata["grade_score"]) == 0.95
    assert metadata["grade_feedback"] == "Faultless."


def errors(client: OpenAI) -> None:
    """Every refusal has its class, its place and its reason."""
    create = client.beta.assistants.create
    error = refused(openai.BadRequestError, create, model="test-model")
    assert (error.code, error.param) == ("model_not_found", "model")
    assert "greeter" in error.message
    error = refused(openai.BadRequestError, create, model="greeter", temperature=3)
    assert (error.param, error.code, error.type) == ("temperature", "invalid_value", "invalid_request_error")
    error = refused(openai.BadRequestError, create, model="greeter", extra_body={"temprature": 1})
    assert "Unknown parameter: 'temprature'." in error.message
    error = refused(openai.BadRequestError, create, model="greeter", tools=[{"type": "code_interpreter"}])
    assert "code_interpreter is not there" in error.message
    refused(openai.BadRequestError, client.beta.assistants.list, limit=101)
    refused(openai.NotFoundError, client.beta.assistants.update, "asst_nobody", name="x")
    refused(openai.NotFoundError, client.beta.threads.retrieve, "thread_nobody")
    refused(openai.NotFoundError, client.beta.threads.runs.retrieve, "run_nobody", thread_id=new_thread(client))
    thread_id = new_thread(client)
    refused(openai.NotFoundError, client.beta.threads.runs.create, thread_id, assistant_id="asst_nobody")


class AsyncHandler(AsyncAssistantEventHandler):
    """Keeps the text."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    async def on_text_delta(self, delta: TextDelta, snapshot: Text) -> None:
        """Keep the text."""
        del snapshot
        self.text += delta.value or ""


def asynchronous(client: OpenAI) -> None:
    """The asynchronous client: streams at the same time."""

    async def run() -> list[str]:
        async with AsyncOpenAI(base_url=str(client.base_url), api_key="none") as own:
            assistant = await own.beta.assistants.create(model="greeter")

            async def one() -> str:
                thread = await own.beta.threads.create(messages=[{"role": "user", "content": "Hello"}])
                handler = AsyncHandler()
                async with own.beta.threads.runs.stream(
                    thread_id=thread.id, assistant_id=assistant.id, event_handler=handler
                ) as stream:
                    await stream.until_done()
                return handler.text

            return await asyncio.gather(*(one() for _ in range(5)))

    assert asyncio.run(run()) == ["Ciao mondo"] * 5


FLOWS = (
    assistants, pages, threads_and_messages, polled_run, streamed_run, tool_calls_polled, tool_calls_streamed,
    thread_and_run, cancelled_run, runs_that_do_not_complete, graded_run, errors, asynchronous,
)  # fmt: skip


def main(base_url: str) -> None:
    """Run every flow; the first that fails ends this with its trace."""
    with OpenAI(base_url=base_url, api_key="none", timeout=WAIT_SECONDS, max_retries=0) as client:
        for flow in FLOWS:
            started = time.monotonic()
            flow(client)
            sys.stdout.write(f"{flow.__name__} {time.monotonic() - started:.2f} s\n")


if __name__ == "__main__":
    sys.stdout.write(f"openai {openai.__version__}\n")
    main(sys.argv[1])
