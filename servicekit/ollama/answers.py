"""OpenAI's answers, written as Ollama's."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import orjson

from servicekit.openai.chat import ChatObject

#: How Ollama calls the end of an answer.
_REASONS = {"length": "length", "stop": "stop", "tool_calls": "stop"}


def now() -> str:
    """Return the time as Ollama writes it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


class AnswerWriter:
    """Writes the answer to one request.

    Args:
        is_chat: `/api/chat` answers messages, `/api/generate` texts.
    """

    def __init__(self, is_chat: bool) -> None:
        self._is_chat = is_chat
        self._started = time.monotonic_ns()
        self._first_ns = 0
        self._calls: dict[int, dict[str, str]] = {}
        self._reason = "stop"
        self._usage: Mapping[str, Any] = {}
        self._model = ""

    def whole(self, completion: ChatObject) -> dict[str, Any]:
        """Write a `chat.completion`."""
        choice = completion["choices"][0]
        self._model, self._usage = completion["model"], completion.get("usage") or {}
        self._reason = choice.get("finish_reason") or "stop"
        self._first_ns = time.monotonic_ns()
        message = choice["message"]
        self._add_calls(message.get("tool_calls") or [])
        return {**self._piece(message, _logprobs(choice)), **self._ending(self._written_calls())}

    def piece(self, chunk: ChatObject) -> dict[str, Any] | None:
        """Write a chunk of a stream; None if it says nothing yet."""
        self._model, self._usage = chunk["model"], chunk.get("usage") or self._usage
        if not chunk["choices"]:
            return None
        choice = chunk["choices"][0]
        self._reason = choice.get("finish_reason") or self._reason
        delta = choice["delta"]
        self._add_calls(delta.get("tool_calls") or [])
        if not (delta.get("content") or delta.get("reasoning_content")):
            return None
        self._first_ns = self._first_ns or time.monotonic_ns()
        return {**self._piece(delta, _logprobs(choice)), "done": False}

    def last(self) -> dict[str, Any]:
        """Write the end of a stream: calls of tools, why it ended, and the counts."""
        return {**self._piece({}, None), **self._ending(self._written_calls())}

    def loaded(self, model: str) -> dict[str, Any]:
        """Write the answer to a request without a question: the model is there."""
        self._model = model
        return {**self._piece({}, None), "done": True, "done_reason": "load"}

    def _piece(self, message: Mapping[str, Any], logprobs: list[Any] | None) -> dict[str, Any]:
        text, thought = message.get("content") or "", message.get("reasoning_content")
        thinking = {"thinking": thought} if thought else {}
        said = {"message": {"role": "assistant", "content": text, **thinking}} if self._is_chat else {"response": text}
        more = thinking if not self._is_chat else {}
        counted = {"logprobs": logprobs} if logprobs else {}
        return {"model": self._model, "created_at": now(), **said, **more, **counted}

    def _ending(self, calls: list[dict[str, Any]]) -> dict[str, Any]:
        ended = time.monotonic_ns()
        first = self._first_ns or ended
        ending: dict[str, Any] = {
            "done": True,
            "done_reason": _REASONS.get(self._reason, self._reason),
            "total_duration": ended - self._started,
            "load_duration": 0,
            "prompt_eval_count": self._usage.get("prompt_tokens", 0),
            "prompt_eval_duration": first - self._started,
            "eval_count": self._usage.get("completion_tokens", 0),
            "eval_duration": ended - first,
        }
        return {"tool_calls": calls, **ending} if calls else ending

    def _add_calls(self, calls: list[dict[str, Any]]) -> None:
        """Note calls of tools, whose arguments come in pieces."""
        for place, call in enumerate(calls):
            function = call.get("function") or {}
            index = call.get("index")
            known = self._calls.setdefault(place if index is None else index, {"name": "", "arguments": ""})
            known["name"] += function.get("name") or ""
            known["arguments"] += function.get("arguments") or ""

    def _written_calls(self) -> list[dict[str, Any]]:
        return [
            {"function": {"name": call["name"], "arguments": _arguments(call["arguments"])}}
            for _, call in sorted(self._calls.items())
        ]


def with_calls(answer: dict[str, Any]) -> dict[str, Any]:
    """Move an answer's calls of tools to where Ollama has them: into the message."""
    calls = answer.pop("tool_calls", None)
    if calls and "message" in answer:
        answer["message"]["tool_calls"] = calls
    return answer


def _arguments(text: str) -> dict[str, Any]:
    """Return the arguments as an object; a model's broken JSON is shown as it is."""
    try:
        found = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return {"": text}
    return found if isinstance(found, dict) else {"": text}


def _logprobs(choice: Mapping[str, Any]) -> list[Any] | None:
    logprobs = choice.get("logprobs")
    return logprobs.get("content") if isinstance(logprobs, dict) else None


def embedded(answer: ChatObject, started_ns: int) -> dict[str, Any]:
    """Write a list of vectors."""
    ordered = sorted(answer["data"], key=lambda item: item.get("index") or 0)
    return {
        "model": answer["model"],
        "embeddings": [item["embedding"] for item in ordered],
        "total_duration": time.monotonic_ns() - started_ns,
        "load_duration": 0,
        "prompt_eval_count": (answer.get("usage") or {}).get("prompt_tokens", 0),
    }


def as_completion(answer: ChatObject) -> ChatObject:
    """Write a `text_completion` as the `chat.completion` that says the same."""
    choices = [
        {"message": {"role": "assistant", "content": choice.get("text")}, "finish_reason": choice.get("finish_reason")}
        for choice in answer["choices"]
    ]
    return {**answer, "choices": choices}


async def as_chat_chunks(source: AsyncGenerator[ChatObject]) -> AsyncGenerator[ChatObject]:
    """Write the chunks of a `text_completion` as those of a conversation."""
    async with aclosing(source) as chunks:
        async for chunk in chunks:
            choices = [
                {"delta": {"content": choice.get("text")}, "finish_reason": choice.get("finish_reason")}
                for choice in chunk["choices"]
            ]
            yield {**chunk, "choices": choices}
