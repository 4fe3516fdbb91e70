"""An engine that says what a test wants, for tests of what is built on the `Engine` interface."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from servicekit.context import CallContext
from servicekit.model_profile import ModelProfile
from servicekit.openai.chat import ChatObject
from tests.support.scripts import completion_object

CONTEXT = CallContext("req_test")


class ScriptedEngine:
    """Answers in order with texts, or raises the exceptions among them; the last one repeats.

    Args:
        answers: Texts of assistant messages, None for a message without content, exceptions.
        profile: Of the model that it plays.
    """

    def __init__(self, *answers: str | Exception | None, profile: ModelProfile | None = None) -> None:
        self.model = "scripted-model"
        self.owner = "tests"
        self.profile = profile
        #: Every payload that it was asked with.
        self.payloads: list[dict[str, Any]] = []
        #: What models.json said with each of them.
        self.configured: list[dict[str, Any]] = []
        #: Further fields of every answer, such as a `notice` or another `usage`.
        self.more: dict[str, Any] = {}
        self._answers = list(answers)

    async def start(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    async def problem(self) -> str | None:
        """Return None: it can always answer."""
        return None

    async def chat(self, payload: ChatObject, context: CallContext) -> ChatObject:
        """Return the next answer."""
        assert context.request_id
        self.payloads.append(payload)
        self.configured.append(dict(context.configured))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return {**completion_object(answer, model=self.model), **self.more}

    async def chat_stream(self, payload: ChatObject, context: CallContext) -> AsyncGenerator[ChatObject]:
        """Yield the next answer as one object."""
        yield await self.chat(payload, context)

    async def complete(self, payload: ChatObject, context: CallContext) -> ChatObject:
        """Return the next answer."""
        return await self.chat(payload, context)

    def complete_stream(self, payload: ChatObject, context: CallContext) -> AsyncGenerator[ChatObject]:
        """Yield the next answer as one object."""
        return self.chat_stream(payload, context)

    async def embed(self, payload: ChatObject, context: CallContext) -> ChatObject:
        """Return the next answer."""
        return await self.chat(payload, context)
