"""What goes to the model: the chat request of a run, made of the run, its thread and its steps. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from microservices.assistants.objects.json_object import JsonObject
from microservices.assistants.objects.message import Message
from microservices.assistants.objects.run import Run
from microservices.assistants.objects.run_step import RunStep
from microservices.assistants.runs.tokens import estimated_tokens
from microservices.assistants.search.citations import prompt_of
from microservices.assistants.search.passages import Passage

#: Of a thread with the truncation strategy `auto`; more would not fit into any model's context.
MOST_MESSAGES: Final = 1_000

#: The run's fields that travel on under their names.
_PLAIN = ("temperature", "top_p", "reasoning_effort")


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a turn of a run is about.

    Attributes:
        run: Asks.
        messages: Of the thread, the oldest first, those that the run itself made included.
        steps: The run's so far.
        passages: What file_search found.
    """

    run: Run
    messages: Sequence[Message]
    steps: Sequence[RunStep]
    passages: Sequence[Passage] = ()

    def payload(self, prompt_tokens: int | None = None) -> JsonObject:
        """Return the chat request.

        Args:
            prompt_tokens: The most that the prompt may have, by estimate; the oldest messages are left out for it.
        """
        run = self.run
        request: dict[str, Any] = {"model": run.model, "messages": self._chat_messages(prompt_tokens), **self._tools()}
        for name in _PLAIN:
            if getattr(run, name) is not None:
                request[name] = getattr(run, name)
        left = self.completion_tokens_left
        if left is not None:
            request["max_tokens"] = left
        form = run.response_format
        if isinstance(form, dict) and form.get("type") != "text":
            request["response_format"] = form
        return request

    @property
    def completion_tokens_left(self) -> int | None:
        """How many tokens the run's answers may still have; None: no bound."""
        if self.run.max_completion_tokens is None:
            return None
        return self.run.max_completion_tokens - used_tokens(self.steps, "completion_tokens")

    @property
    def prompt_tokens_left(self) -> int | None:
        """How many tokens the run's prompts may still have; None: no bound."""
        if self.run.max_prompt_tokens is None:
            return None
        return self.run.max_prompt_tokens - used_tokens(self.steps, "prompt_tokens")

    @property
    def question(self) -> str:
        """The text of the last message of a user."""
        return next((message.text for message in reversed(self.messages) if message.role == "user"), "")

    def estimated_prompt_tokens(self) -> int:
        """Return about how many tokens the whole prompt has."""
        return sum(estimated_tokens(message) for message in self._chat_messages(None))

    def _chat_messages(self, prompt_tokens: int | None) -> list[JsonObject]:
        system, history, rounds = self._system(), self._history(), self._rounds()
        if prompt_tokens is not None:
            taken = sum(estimated_tokens(message) for message in system + rounds)
            history = _newest(history, prompt_tokens - taken)
        return system + history + rounds

    def _system(self) -> list[JsonObject]:
        parts = [part for part in (self.run.instructions, prompt_of(self.passages)) if part]
        return [{"role": "system", "content": "\n\n".join(parts)}] if parts else []

    def _history(self) -> list[JsonObject]:
        """Return the messages of the thread from before the run, by the run's truncation strategy."""
        before = [message for message in self.messages if message.run_id != self.run.id and _is_of_use(message)]
        if self.run.truncation_strategy.get("type") == "last_messages":
            before = before[-(self.run.truncation_strategy.get("last_messages") or 1) :]
        return [_chat_message(message) for message in before]

    def _rounds(self) -> list[JsonObject]:
        """Return what the run itself said and asked for so far, with the outputs that it got."""
        own = {message.id: message for message in self.messages if message.run_id == self.run.id}
        chat: list[JsonObject] = []
        for step in self.steps:
            if step.status != "completed":
                continue
            if step.type == "message_creation":
                message = own.get(step.step_details["message_creation"]["message_id"])
                if message is not None:
                    chat.append(_chat_message(message))
            elif calls := function_calls(step):
                chat += _call_messages(calls, chat)
        return chat

    def _tools(self) -> JsonObject:
        functions = [
            {"type": "function", "function": tool["function"]} for tool in self.run.tools if tool["type"] == "function"
        ]
        if not functions:
            return {}
        fields: JsonObject = {"tools": functions}
        choice = self.run.tool_choice
        is_first = not any(function_calls(step) for step in self.steps)
        # Whoever must call a function has done so in the first round, or it would never come to an answer.
        if choice == "none" or (is_first and _is_function_choice(choice)):
            fields["tool_choice"] = choice
        if not self.run.parallel_tool_calls:
            fields["parallel_tool_calls"] = False
        return fields


def function_calls(step: RunStep) -> list[JsonObject]:
    """Return the function calls of a step."""
    calls = step.step_details.get("tool_calls") or ()
    return [call for call in calls if call.get("type") == "function"]


def used_tokens(steps: Sequence[RunStep], kind: str) -> int:
    """Return the tokens of a kind, such as `prompt_tokens`, that a run has used so far."""
    return sum((step.usage or {}).get(kind) or 0 for step in steps)


def _is_function_choice(choice: JsonObject | str) -> bool:
    return choice == "required" or (isinstance(choice, dict) and choice.get("type") == "function")


def _is_of_use(message: Message) -> bool:
    """Whether a message says something to the model: not if its attempt was interrupted and made again."""
    if message.status == "completed":
        return bool(message.content)
    reason = (message.incomplete_details or {}).get("reason")
    return message.status == "incomplete" and bool(message.content) and reason != "run_failed"


def _chat_message(message: Message) -> JsonObject:
    if all(block["type"] == "text" for block in message.content):
        return {"role": message.role, "content": message.text}
    return {"role": message.role, "content": [_part(block) for block in message.content]}


def _part(block: JsonObject) -> JsonObject:
    if block["type"] == "text":
        return {"type": "text", "text": block["text"]["value"]}
    return block if block["type"] == "image_url" else {"type": "text", "text": "(an image that cannot be shown)"}


def _call_messages(calls: Sequence[JsonObject], chat: list[JsonObject]) -> list[JsonObject]:
    """Return the messages of one round of calls; a text right before belongs to the same answer."""
    text = chat.pop()["content"] if chat and chat[-1]["role"] == "assistant" and "tool_calls" not in chat[-1] else None
    asked = [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["function"]["name"], "arguments": call["function"]["arguments"]},
        }
        for call in calls
    ]
    outputs = [
        {"role": "tool", "tool_call_id": call["id"], "content": call["function"].get("output") or ""} for call in calls
    ]
    return [{"role": "assistant", "content": text, "tool_calls": asked}, *outputs]


def _newest(messages: Sequence[JsonObject], tokens: int) -> list[JsonObject]:
    """Return the newest messages that fit, the last one always."""
    kept: list[JsonObject] = []
    for message in reversed(messages):
        tokens -= estimated_tokens(message)
        if kept and tokens < 0:
            break
        kept.append(message)
    return kept[::-1]
