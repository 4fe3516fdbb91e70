"""The one interface of every engine, so that services do not know what answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from servicekit.context import CallContext
from servicekit.model_profile import ModelProfile
from servicekit.openai.chat import ChatObject


class Engine(Protocol):
    """Answers chat requests with one model.

    Every method raises the `ServiceError`s of `servicekit.errors`, their messages naming the engine.
    """

    #: The name that answers carry as `model`; never a path.
    model: str
    #: Who owns the model, for `/v1/models`.
    owner: str

    @property
    def profile(self) -> ModelProfile | None:
        """What a service must know to use the model well; None for a general chat model. Known once started."""

    async def start(self) -> None:
        """Make ready to answer.

        Raises:
            ConfigurationError: It never will: the model file is missing or broken, say.
        """

    async def close(self) -> None:
        """Free everything; running calls fail."""

    async def problem(self) -> str | None:
        """Return why it cannot answer now, in one sentence, or None if it can."""

    async def chat(self, payload: ChatObject, context: CallContext) -> ChatObject:
        """Answer an OpenAI chat request (`stream` absent) with a `chat.completion`.

        The answer has text, a tool call, or a `finish_reason` that says why it has not.
        """

    def chat_stream(self, payload: ChatObject, context: CallContext) -> AsyncGenerator[ChatObject]:
        """Answer with `chat.completion.chunk`s.

        The first one carries the role, no later one than the first text; the last one carries `usage` with empty
        `choices`, and is absent if the upstream does not count. Close the generator to cancel the engine's work.
        """

    async def complete(self, payload: ChatObject, context: CallContext) -> ChatObject:
        """Answer an OpenAI completion request (`prompt`, `stream` absent) with a `text_completion`.

        Raises:
            InvalidRequestError: This engine only answers conversations.
        """

    def complete_stream(self, payload: ChatObject, context: CallContext) -> AsyncGenerator[ChatObject]:
        """Answer with the chunks of a `text_completion`; raises as `complete` does."""

    async def embed(self, payload: ChatObject, context: CallContext) -> ChatObject:
        """Answer an OpenAI embeddings request (`input`) with a list of vectors.

        Raises:
            InvalidRequestError: This engine makes no vectors.
        """
