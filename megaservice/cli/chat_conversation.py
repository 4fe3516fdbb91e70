"""A conversation with one model: what was said so far goes with each message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from megaservice.cli.chat_client import ChatClient


class Conversation:
    """Remembers what was said and answered.

    Args:
        client: Of the gateway.
        model: Its name; None for the default.
        system: The system message, if any.
        params: As `/chat` takes them.
    """

    def __init__(self, client: ChatClient, model: str | None, system: str | None, params: Mapping[str, Any]) -> None:
        self._client = client
        self._model = model
        self._params = dict(params)
        self._messages: list[dict[str, str]] = [{"role": "system", "content": system}] if system else []

    def ask(self, text: str, on_delta: Callable[[str], None]) -> dict[str, Any]:
        """Say something and return the answer; what fails or is stopped counts as not said.

        Args:
            text: The user's message.
            on_delta: Gets the pieces of the answer's text as they come.

        Raises:
            GatewayFailure: There is no answer.
        """
        messages = [*self._messages, {"role": "user", "content": text}]
        body = {"model": self._model, "messages": messages, "params": self._params}
        answer = asyncio.run(self._client.chat(body, on_delta))
        self._messages = [*messages, {"role": "assistant", "content": answer["text"]}]
        return answer
