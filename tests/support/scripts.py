"""Scripts for the scripted upstream: what an OpenAI-compatible server does, and all it can do wrong.

A script made by `play` is a list of steps: bytes are sent, a number is a pause in seconds, `STALL` sends
nothing more until the client leaves, `CUT` closes the connection on the spot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from http import HTTPStatus
from typing import Any

import orjson

from tests.support.scripted_upstream import Reply, Script

#: What the scripted model calls itself unless a test says otherwise.
MODEL = "scripted-model"
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
DONE = b"data: [DONE]\n\n"


class Ending(Enum):
    """Steps that end a script in a bad way."""

    STALL = "stall"
    CUT = "cut"


STALL = Ending.STALL
CUT = Ending.CUT
Step = bytes | int | float | Ending


def play(*steps: Step) -> Script:
    """Send raw bytes with pauses, starting before the status line."""

    async def script(reply: Reply) -> None:
        for step in steps:
            await _take(step, reply)

    return script


async def _take(step: Step, reply: Reply) -> None:
    if isinstance(step, bytes):
        await reply.write(step)
    elif step is STALL:
        await asyncio.Event().wait()
    elif step is CUT:
        reply.cut()
    else:
        assert isinstance(step, int | float)
        await asyncio.sleep(step)


def answer(
    status: int = 200,
    body: object = None,
    *,
    headers: Mapping[str, str] | None = None,
    content_type: str = "application/json",
) -> Script:
    """Answer with a status and a body: bytes and str as they are, anything else as JSON."""
    return play(encode_answer(status, body, headers=headers, content_type=content_type))


def encode_answer(
    status: int,
    body: object,
    *,
    headers: Mapping[str, str] | None = None,
    content_type: str = "application/json",
) -> bytes:
    """Write a whole response."""
    payload = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else orjson.dumps(body)
    all_headers = {"content-type": content_type, "content-length": str(len(payload)), **(headers or {})}
    return _head(status, all_headers) + payload


def openai_error(
    status: int, message: str = "it broke", code: str | None = None, headers: Mapping[str, str] | None = None
) -> Script:
    """Answer an error in OpenAI's shape."""
    error = {"message": message, "type": "server_error", "param": None, "code": code}
    return answer(status, {"error": error}, headers=headers)


def fastapi_error(status: int, detail: object = "it broke") -> Script:
    """Answer an error in FastAPI's shape."""
    return answer(status, {"detail": detail})


def ollama_error(status: int, message: str = "it broke") -> Script:
    """Answer an error in Ollama's own shape."""
    return answer(status, {"error": message})


def plain_error(status: int, text: str = "it broke") -> Script:
    """Answer an error as plain text, like a proxy."""
    return answer(status, text, content_type="text/plain")


def broken_json() -> Script:
    """Answer 200 with a body that announces JSON and is none."""
    return answer(200, b'{"id": "chatcmpl-1", "choices": [')


def completion(text: str, *, model: str = MODEL, after_seconds: float = 0.0, **choice: Any) -> Script:
    """Answer a whole `chat.completion`."""
    return play(after_seconds, encode_answer(200, completion_object(text, model=model, **choice)))


def completion_object(text: str | None, *, model: str = MODEL, **choice: Any) -> dict[str, Any]:
    """Return a `chat.completion` with one choice."""
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}],
        "usage": USAGE,
    }


def models_list(*names: str) -> Script:
    """Answer `GET /v1/models`."""
    return answer(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in names or (MODEL,)]})


def stream(*steps: Step, headers_after_seconds: float = 0.0, content_type: str = "text/event-stream") -> Script:
    """Answer 200 with a chunked body: each bytes step is one chunk; without a bad ending it ends well.

    Args:
        steps: The events, and what goes wrong between them.
        headers_after_seconds: How long status and headers are held back, as servers do until the first token.
        content_type: Of the answer.
    """
    head = _head(200, {"content-type": content_type, "transfer-encoding": "chunked"})
    chunks = [b"%x\r\n%b\r\n" % (len(step), step) if isinstance(step, bytes) else step for step in steps]
    return play(headers_after_seconds, head, *chunks, *([] if _ends_badly(steps) else [b"0\r\n\r\n"]))


def openai_stream(
    texts: Sequence[str], *, gap_seconds: float = 0.0, headers_after_seconds: float = 0.0, **options: Any
) -> Script:
    """Answer a good OpenAI stream: one event for each text; `options` are those of `openai_events`."""
    steps: list[Step] = []
    for event in openai_events(texts, **options):
        steps += [event, gap_seconds]
    return stream(*steps, headers_after_seconds=headers_after_seconds)


def headers_then_silence() -> Script:
    """Answer 200 and the headers of a stream, then nothing until the client leaves."""
    return stream(STALL)


def close_without_answer() -> Script:
    """Close the connection when the request has come."""
    return play(CUT)


def silence() -> Script:
    """Take the request and never answer."""
    return play(STALL)


def openai_events(
    texts: Sequence[str],
    *,
    model: str = MODEL,
    finish_reason: str | None = "stop",
    usage: Mapping[str, int] | None = USAGE,
    done: bool = True,
) -> list[bytes]:
    """Encode the events of an OpenAI stream, `[DONE]` included.

    Args:
        texts: One event each.
        model: What the chunks name.
        finish_reason: Travels in an event of its own; None leaves that out.
        usage: Travels in a last chunk with empty `choices`; None leaves that out.
        done: Whether `data: [DONE]` ends it.
    """
    choices: list[list[dict[str, Any]]] = [
        [{"index": 0, "delta": {"content": text}, "finish_reason": None}] for text in texts
    ]
    if finish_reason is not None:
        choices.append([{"index": 0, "delta": {}, "finish_reason": finish_reason}])
    events = [encode_chunk(choice, model=model) for choice in choices]
    if usage is not None:
        events.append(encode_chunk([], model=model, usage=dict(usage)))
    return [*events, DONE] if done else events


def encode_chunk(choices: list[dict[str, Any]], *, model: str = MODEL, **more: Any) -> bytes:
    """Encode one `chat.completion.chunk` as an event."""
    chunk = {
        "id": "chatcmpl-scripted",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": model,
        "choices": choices,
        **more,
    }
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def error_event(message: str = "it broke midway", code: str = "server_error") -> bytes:
    """Encode the event that a server ends a failed stream with."""
    return b"data: " + orjson.dumps({"error": {"message": message, "type": "server_error", "code": code}}) + b"\n\n"


def with_crlf(events: Iterable[bytes]) -> list[bytes]:
    """Return the same events with CRLF line ends."""
    return [event.replace(b"\n", b"\r\n") for event in events]


def split_every(events: Iterable[bytes], size_bytes: int) -> list[bytes]:
    """Return the same bytes in pieces of one size: events and UTF-8 characters are split anywhere."""
    data = b"".join(events)
    return [data[start : start + size_bytes] for start in range(0, len(data), size_bytes)]


def huge_event(size_bytes: int = 5 * 1024 * 1024) -> bytes:
    """Encode one event whose text is that long."""
    return openai_events(["x" * size_bytes], finish_reason=None, usage=None, done=False)[0]


def _ends_badly(steps: Sequence[Step]) -> bool:
    return any(isinstance(step, Ending) for step in steps)


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
