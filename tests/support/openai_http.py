"""Chat requests to a running service, answered as plain values; for tests that talk to real processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import orjson

CHAT = "/v1/chat/completions"
_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, JSON or stream, in the same form.

    Attributes:
        status: The HTTP status.
        text: The first choice's whole text.
        document: The `chat.completion`, the stream's first chunk, or the error body.
        usage: None if the answer had none.
        headers: Lower-case names.
        ended_well: A stream ended with `[DONE]`; always true for JSON.
    """

    status: int
    text: str
    document: dict[str, Any]
    usage: dict[str, Any] | None
    headers: httpx.Headers
    ended_well: bool = True


def ask(url: str, messages: object, *, stream: bool = False, **fields: Any) -> Answer:
    """Send a chat request to the service at that URL and return its whole answer."""
    body: dict[str, Any] = {"messages": messages, "temperature": 0, **fields}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    response = httpx.post(url + CHAT, json=body, timeout=_TIMEOUT_SECONDS, trust_env=False)
    if response.status_code == 200 and stream:
        return _streamed(response)
    document = response.json()
    text = document["choices"][0]["message"]["content"] if response.status_code == 200 else ""
    return Answer(response.status_code, text, document, document.get("usage"), response.headers)


def _streamed(response: httpx.Response) -> Answer:
    payloads = [event.removeprefix(b"data: ") for event in response.content.split(b"\n\n") if event]
    chunks = [orjson.loads(payload) for payload in payloads if payload != b"[DONE]"]
    texts = [choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.get("choices", ())]
    return Answer(
        status=response.status_code,
        text="".join(texts),
        document=chunks[0],
        usage=chunks[-1].get("usage"),
        headers=response.headers,
        ended_well=payloads[-1] == b"[DONE]",
    )
