"""Long streams, whose tokens go from connection to connection without waking the run: the same as if it were woken."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from servicekit.http.direct.connection import Connection
from tests.conftest import UpstreamFactory
from tests.support.gateway import CHAT, GRADE, GRADED, ask_stream, chat_file, graded_file, running_gateway
from tests.support.scripted_upstream import Reply
from tests.support.scripts import answer, stream

TEXTS = [f" parola{number}" for number in range(60)]
HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def _event(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    return b"data: " + orjson.dumps({**HEAD, "choices": choices}) + b"\n\n"


def _events(end: str | None = "stop") -> list[bytes]:
    first = _event({"role": "assistant", "content": "Ciao"})
    last = [_event({}, end), b"data: [DONE]\n\n"] if end else []
    return [first, *(_event({"content": text}) for text in TEXTS), *last]


class _Relayed:
    """Counts what went past the run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        original = Connection._is_relayed

        def counted(connection: Connection) -> bool:
            is_relayed = original(connection)
            self.count += is_relayed
            return is_relayed

        monkeypatch.setattr(Connection, "_is_relayed", counted)


def _spaced(events: list[bytes], seconds: float = 0.002) -> list[bytes | float]:
    return [step for event in events for step in (event, seconds)]


@pytest.mark.parametrize("path", [CHAT, GRADED])
async def test_relayed_stream_is_whole_in_order_and_graded(
    scripted_upstream: UpstreamFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Most tokens are relayed; the client, the grader and the metrics see all of them."""
    relayed = _Relayed(monkeypatch)
    llm, grader = await scripted_upstream(stream(*_spaced(_events()))), await scripted_upstream(answer(200, GRADE))
    files = [chat_file(llm.url), graded_file(llm.url, grader.url)]
    async with running_gateway(tmp_path, llm_url=llm.url, files=files) as url:
        streamed = await ask_stream(url + path)
    assert streamed.text == "Ciao" + "".join(TEXTS)
    assert streamed.body.endswith(b"data: [DONE]\n\n")
    assert relayed.count > len(TEXTS) / 2
    if path == GRADED:
        assert grader.requests[0].json["candidate"] == "Ciao" + "".join(TEXTS)


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_events_split_anywhere_take_the_long_way_and_stay_in_order(
    scripted_upstream: UpstreamFactory, tmp_path: Path, size: int
) -> None:
    """What is no whole event is left to the reader; whole ones behind it are not sent before it."""
    data = b"".join(_events())
    pieces = [data[begin : begin + size] for begin in range(0, len(data), size)]
    steps = _spaced(pieces, 0.0005) if size > 1 else [data[:200], *_spaced([data[200:3000], data[3000:]], 0.01)]
    llm = await scripted_upstream(stream(*steps))
    async with running_gateway(tmp_path, llm_url=llm.url, files=[chat_file(llm.url)]) as url:
        streamed = await ask_stream(url + CHAT)
    assert streamed.text == "Ciao" + "".join(TEXTS)


async def test_relayed_stream_that_breaks_ends_with_an_error_event(
    scripted_upstream: UpstreamFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came is there, and no `[DONE]`."""
    relayed = _Relayed(monkeypatch)
    llm = await scripted_upstream(stream(*_spaced(_events(end=None))))
    async with running_gateway(tmp_path, llm_url=llm.url, files=[chat_file(llm.url)]) as url:
        streamed = await ask_stream(url + CHAT)
    assert relayed.count > 10
    assert streamed.text == "Ciao" + "".join(TEXTS)
    assert streamed.error is not None
    assert not streamed.body.endswith(b"data: [DONE]\n\n")


async def test_relayed_stream_that_stalls_runs_into_the_idle_time_out(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Relayed tokens put the time-out off, and only they do."""
    events = _events(end=None)
    llm = await scripted_upstream(stream(*_spaced(events, 0.01), 30.0))
    file = chat_file(llm.url, timeouts={"idle_seconds": 0.3})
    async with running_gateway(tmp_path, llm_url=llm.url, files=[file]) as url:
        began = asyncio.get_running_loop().time()
        streamed = await ask_stream(url + CHAT)
        seconds = asyncio.get_running_loop().time() - began
    assert streamed.text == "Ciao" + "".join(TEXTS)
    assert streamed.error is not None
    assert streamed.error["code"] == "upstream_timeout"
    assert seconds > 0.01 * len(events)


async def test_client_that_leaves_a_relayed_stream_cancels_the_upstream(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Within 100 ms, though no task was waiting for the client."""

    async def endless(reply: Reply) -> None:
        await stream(*_spaced([*_events(end=None)] * 50, 0.005))(reply)

    llm = await scripted_upstream(endless)
    async with running_gateway(tmp_path, llm_url=llm.url, files=[chat_file(llm.url)]) as url:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = orjson.dumps({"messages": "Hello", "stream": True})
        writer.write(b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (CHAT.encode(), len(body)) + body)
        await reader.readuntil(b"parola20")
        left_at = asyncio.get_running_loop().time()
        writer.close()
        async with asyncio.timeout(2):
            while llm.requests[0].client_left_at is None:  # noqa: ASYNC110 - the upstream has no event for it
                await asyncio.sleep(0.005)
    assert llm.requests[0].client_left_at - left_at < 0.1
