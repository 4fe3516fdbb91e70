"""Puts the chunks of a stream together to the `chat.completion` that JSON mode would have answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import StringIO
from typing import Any

from servicekit.ids import new_id


class ChatAssembler:
    """Takes `chat.completion.chunk`s; reads as the whole answer at any time."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}
        self.usage: dict[str, Any] | None = None
        self.notice: dict[str, Any] | None = None

    def add(self, chunk: dict[str, Any]) -> str:
        """Take the next chunk and return the text that it adds to the first choice."""
        if not self._head:
            self._head = {key: chunk[key] for key in ("id", "created", "model") if key in chunk}
        self.usage = chunk.get("usage") or self.usage
        self.notice = chunk.get("notice") or self.notice
        added = ""
        for part in chunk.get("choices") or ():
            index = part.get("index") or 0
            text = self._choice(index).add(part)
            added = text if index == 0 else added
        return added

    def text_adder(self) -> Callable[[str], object]:
        """Return what adds pieces of text to the first choice."""
        return self._choice(0).content.write

    def add_text(self, text: str) -> None:
        """Add a piece of text to the first choice."""
        self._choice(0).content.write(text)

    def _choice(self, index: int) -> _Choice:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice(index)
        return choice

    def completion(self) -> dict[str, Any]:
        """Return the answer so far as a `chat.completion`."""
        answer = {
            "id": self._head.get("id") or new_id("chatcmpl-"),
            "object": "chat.completion",
            "created": self._head.get("created") or int(time.time()),
            "model": self._head.get("model", ""),
            "choices": [self._choices[index].completed() for index in sorted(self._choices)],
        }
        if self.usage is not None:
            answer["usage"] = self.usage
        if self.notice is not None:
            answer["notice"] = self.notice
        return answer


class _Choice:
    def __init__(self, index: int) -> None:
        self._index = index
        self._role = "assistant"
        #: One buffer: a thousand streams of short pieces would hold most of their memory in the pieces' heads.
        self.content = StringIO()
        self._tool_calls: dict[int, dict[str, Any]] = {}
        self.finish_reason: str | None = None

    def add(self, part: dict[str, Any]) -> str:
        delta = part.get("delta") or {}
        self._role = delta.get("role") or self._role
        self.finish_reason = part.get("finish_reason") or self.finish_reason
        for call in delta.get("tool_calls") or ():
            self._add_tool_call(call)
        text: str = delta.get("content") or ""
        if text:
            self.content.write(text)
        return text

    def _add_tool_call(self, delta: dict[str, Any]) -> None:
        """Merge one tool call's delta: the first one names it, the others append arguments."""
        call = self._tool_calls.setdefault(delta.get("index") or 0, {"function": {"name": "", "arguments": ""}})
        call.update({key: delta[key] for key in ("id", "type") if delta.get(key)})
        function = delta.get("function") or {}
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""

    def completed(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": self._role, "content": self.content.getvalue()}
        if self._tool_calls:
            message["content"] = message["content"] or None
            message["tool_calls"] = [self._tool_calls[index] for index in sorted(self._tool_calls)]
        return {"index": self._index, "message": message, "finish_reason": self.finish_reason}
