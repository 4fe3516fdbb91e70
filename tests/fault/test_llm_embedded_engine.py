"""The embedded engine when llama.cpp crashes, is busy, or cannot come back; with the real llama.cpp."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from servicekit.context import CallContext
from servicekit.engines.embedded import EmbeddedEngine
from servicekit.engines.llama_process import EmbeddedOptions
from servicekit.errors import ConfigurationError, OverloadedError, UpstreamUnreachableError
from servicekit.http.client import HttpClient
from servicekit.models import BUNDLED_MODELS

CONTEXT = CallContext("req_test")
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Good morning"}], "temperature": 0}
#: An answer of a known, large number of tokens, so that something can happen in its middle.
LONG = {**HELLO, "grammar": 'root ::= "[" ("1, "){199} "1]"'}

EngineFactory = Callable[..., Awaitable[EmbeddedEngine]]


@pytest_asyncio.fixture
async def start_engine() -> AsyncIterator[EngineFactory]:
    """Give a function that starts an engine for a model file, with the options that it is given."""
    engines = []
    async with HttpClient() as client:

        async def start(path: Path = BUNDLED_MODELS["phrasebook"], **options: Any) -> EmbeddedEngine:
            engine = EmbeddedEngine(path, client, EmbeddedOptions(**options))
            engines.append(engine)
            await engine.start()
            return engine

        yield start
        for engine in engines:
            await engine.close()


def llama_pids() -> list[int]:
    """Return the ids of this process's children that run llama.cpp; a database of other tests may be one, too."""
    children = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child.pid for child in children if any("llama" in word for word in child.cmdline())]


async def wait_for(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 - a process has no event
            await asyncio.sleep(0.01)


async def test_configured_parameters_of_llama_cpp_are_obeyed(start_engine: EngineFactory) -> None:
    """Also one that no request may name: the answer has the form that models.json's `json_schema` says."""
    engine = await start_engine()
    configured = CONTEXT._replace(configured={"json_schema": {"const": "Ciao"}, "not_there": 1})
    answer = await engine.chat({**HELLO, "json_schema": {"const": "No"}}, configured)
    assert answer["choices"][0]["message"]["content"] == '"Ciao"'


async def test_closed_engine_leaves_no_process(start_engine: EngineFactory) -> None:
    """Closing twice is harmless, and calls after it say why they fail."""
    engine = await start_engine()
    assert len(llama_pids()) == 1
    assert await engine.problem() is None
    started = time.monotonic()
    await engine.close()
    await engine.close()
    assert time.monotonic() - started < 1.0
    assert llama_pids() == []
    with pytest.raises(UpstreamUnreachableError, match=r"llama\.cpp of model 'phrasebook' was stopped"):
        await engine.chat(HELLO, CONTEXT)


async def test_close_with_work_in_flight_does_not_hang(start_engine: EngineFactory) -> None:
    """The running call fails, and the process is gone at once."""
    engine = await start_engine()
    call = asyncio.create_task(engine.chat(LONG, CONTEXT))
    await asyncio.sleep(0.05)
    started = time.monotonic()
    await engine.close()
    assert time.monotonic() - started < 1.0
    with pytest.raises(UpstreamUnreachableError, match="was stopped"):
        await call


async def test_crash_in_the_middle_of_a_stream_names_the_engine(start_engine: EngineFactory) -> None:
    """The reason is the process's end, not the broken connection that it shows as; then it is served again."""
    engine = await start_engine()
    async with aclosing(engine.chat_stream(LONG, CONTEXT)) as stream:
        await anext(stream)
        os.kill(llama_pids()[0], signal.SIGKILL)
        with pytest.raises(UpstreamUnreachableError, match=r"model 'phrasebook' ended unexpectedly \(signal 9\)"):
            [chunk async for chunk in stream]
    await wait_for(lambda: _is_well(engine))
    assert (await engine.chat(HELLO, CONTEXT))["choices"][0]["message"]["content"]


async def test_model_that_is_gone_after_a_crash_is_tried_again(start_engine: EngineFactory, tmp_path: Path) -> None:
    """`problem` says why it does not come back; once the file is there again, it does."""
    path = tmp_path / "copy.gguf"
    await asyncio.to_thread(shutil.copy, BUNDLED_MODELS["phrasebook"], path)
    engine = await start_engine(path)
    path.rename(tmp_path / "away.gguf")
    os.kill(llama_pids()[0], signal.SIGKILL)
    await wait_for(lambda: _says(engine, "cannot be started again"))
    (tmp_path / "away.gguf").rename(path)
    await wait_for(lambda: _is_well(engine))


async def test_stream_that_nobody_reads_on_frees_its_place(start_engine: EngineFactory) -> None:
    """Closing the generator cancels llama.cpp's work: the one slot answers somebody else at once."""
    engine = await start_engine(parallel=1, max_calls=1)
    async with aclosing(engine.chat_stream(LONG, CONTEXT)) as stream:
        await anext(stream)
    started = time.monotonic()
    await engine.chat(HELLO, CONTEXT)
    assert time.monotonic() - started < 5.0


async def test_busy_engine_answers_overloaded(start_engine: EngineFactory) -> None:
    """A call whose time runs out while it waits for its turn is told that it may try again."""
    engine = await start_engine(max_calls=1)
    async with aclosing(engine.chat_stream(LONG, CONTEXT)) as stream:
        await anext(stream)
        with pytest.raises(OverloadedError) as caught:
            await engine.chat(HELLO, CallContext("req_test", time.monotonic() + 0.05))
    assert caught.value.retry_after_seconds == 1


async def test_cancelled_start_leaves_no_process() -> None:
    """A service that is stopped while its model loads leaves nothing behind."""
    async with HttpClient() as client:
        starting = asyncio.create_task(EmbeddedEngine(BUNDLED_MODELS["phrasebook"], client).start())
        while not llama_pids():  # noqa: ASYNC110 - a process has no event
            await asyncio.sleep(0.001)
        starting.cancel()
        with suppress(asyncio.CancelledError):
            await starting
    assert llama_pids() == []


async def test_start_that_takes_too_long_is_given_up(start_engine: EngineFactory) -> None:
    """The message says how long was waited."""
    with pytest.raises(ConfigurationError, match=r"it was not ready after 0.001 s"):
        await start_engine(start_timeout_seconds=0.001)
    assert llama_pids() == []


async def _is_well(engine: EmbeddedEngine) -> bool:
    return await engine.problem() is None


async def _says(engine: EmbeddedEngine, words: str) -> bool:
    return words in (await engine.problem() or "")
