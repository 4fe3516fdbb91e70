"""An LLM that answers at once, in the benchmark's own process, so that its clock is ours."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson

#: The words of an answer.
TOKENS = ("Ciao", "!", " Come", " stai", "?")

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_MODELS = orjson.dumps({"object": "list", "data": [{"id": "bench", "object": "model", "created": 0, "owned_by": "us"}]})
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)


class ScriptedLlm:
    """Knows when it wrote the first token of its last answer."""

    def __init__(self) -> None:
        self.first_token_seconds = 0.0


@asynccontextmanager
async def scripted_llm(port: int, tokens: Sequence[str] = TOKENS) -> AsyncIterator[ScriptedLlm]:
    """Serve chat completions, streamed alone, on a loopback port.

    Args:
        port: Free.
        tokens: One chunk each.
    """
    llm = ScriptedLlm()
    first, rest = _chunks(tokens[:1]), _chunks(tokens[1:]) + _chunks(None)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await _request(reader):
                if head.startswith(b"GET"):
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
                    writer.write(b"content-length: %d\r\n\r\n%b" % (len(_MODELS), _MODELS))
                    continue
                writer.write(_HEAD + first)
                llm.first_token_seconds = time.monotonic()
                writer.write(rest)
        finally:
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", port):
        yield llm


async def _request(reader: asyncio.StreamReader) -> bytes:
    """Read one request and return its head; empty at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        await reader.readexactly(int(length[1]) if length else 0)
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
    return head


def _chunks(tokens: Sequence[str] | None) -> bytes:
    """Return events in HTTP's chunked framing; None means the end of the answer."""
    if tokens is not None:
        return b"".join(_framed(_event({"content": token}, None)) for token in tokens)
    usage = {"prompt_tokens": 7, "completion_tokens": len(TOKENS), "total_tokens": 7 + len(TOKENS)}
    return _framed(_event({}, "stop", usage)) + _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def _event(delta: dict[str, str], finish_reason: str | None, usage: dict[str, int] | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "bench", "choices": [choice]}
    return b"data: " + orjson.dumps(chunk if usage is None else {**chunk, "usage": usage}) + b"\n\n"


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
