"""Asks the gateway for an answer: streamed chat, read as what a run has a use for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from microservices.assistants.objects.json_object import JsonObject
from servicekit.errors import (
    InvalidRequestError,
    RateLimitedError,
    ServiceError,
    UpstreamError,
    UpstreamUnreachableError,
)
from servicekit.http.client import HttpClient, Target, Timeouts
from servicekit.openai.chat import ChatObject
from servicekit.openai.upstream import ChatUpstream

_NAME = "the gateway"


@dataclass(frozen=True, slots=True)
class Delta:
    """What one read of the answer adds.

    Attributes:
        text: "" if none.
        tool_calls: Pieces of tool calls, as OpenAI streams them: `index`, and on the first one `id` and the name.
    """

    text: str = ""
    tool_calls: list[JsonObject] = field(default_factory=list)


class Gateway:
    """The gateway's `/chat/completions`.

    Args:
        http: The process's client.
        base_url: Ends in `/v1`.
        api_key: Sent to it, if it asks for one.
        timeouts: Bounds of the waits.
    """

    def __init__(
        self, http: HttpClient, base_url: str, api_key: str | None = None, timeouts: Timeouts | None = None
    ) -> None:
        target = Target(_NAME, base_url.rstrip("/") + "/chat/completions")
        self._upstream = ChatUpstream(http, target)
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeouts = timeouts or Timeouts()

    def ask(self, payload: Mapping[str, Any]) -> GatewayAnswer:
        """Return the answer to a chat request; the request goes out when its deltas are read."""
        return GatewayAnswer(self._upstream, payload, self._headers, self._timeouts)


class GatewayAnswer:
    """One answer; what is known of it as a whole is there when its deltas have ended.

    Attributes:
        usage: The tokens, None if nobody counted.
        finish_reason: Why the model stopped.
        attached: What the pipeline and the model added: `grade`, `notice`, ...
    """

    def __init__(
        self, upstream: ChatUpstream, payload: Mapping[str, Any], headers: Mapping[str, str], timeouts: Timeouts
    ) -> None:
        self._stream = upstream.stream(payload, headers, timeouts)
        self.usage: JsonObject | None = None
        self.finish_reason: str | None = None
        self.attached: JsonObject = {}

    async def deltas(self) -> AsyncGenerator[Delta]:
        """Yield what each read adds; closing the generator cancels the gateway's work.

        Raises:
            ServiceError: Any failure, naming the gateway.
        """
        async with aclosing(self._stream.batches()) as batches:
            async for batch in batches:
                if batch.text is not None:
                    yield Delta(batch.text)
                    continue
                delta = self._read(batch.documents())
                if delta.text or delta.tool_calls:
                    yield delta
        self.attached |= self._stream.attached

    def _read(self, chunks: list[ChatObject]) -> Delta:
        text: list[str] = []
        calls: list[JsonObject] = []
        for chunk in chunks:
            self.usage = chunk.get("usage") or self.usage
            if "notice" in chunk:
                self.attached["notice"] = chunk["notice"]
            for choice in chunk["choices"][:1]:
                self.finish_reason = choice["finish_reason"] or self.finish_reason
                text.append(choice["delta"].get("content") or "")
                calls += choice["delta"].get("tool_calls") or ()
        return Delta("".join(text), calls)


def is_away(error: UpstreamError) -> bool:
    """Return whether nobody is there to answer for the moment: restarting, or draining and saying until when."""
    return isinstance(error, UpstreamUnreachableError) or (error.retryable and error.retry_after_seconds is not None)


def last_error(error: ServiceError) -> JsonObject:
    """Return a failure as a run's `last_error`; the codes are the API's three."""
    if isinstance(error, RateLimitedError):
        code = "rate_limit_exceeded"
    else:
        code = "invalid_prompt" if isinstance(error, InvalidRequestError) else "server_error"
    return {"code": code, "message": error.message}
