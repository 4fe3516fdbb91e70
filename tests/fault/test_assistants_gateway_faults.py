"""Everything that a gateway can do wrong ends a run with an error that names it, and leaves nothing open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from microservices.assistants.objects.run import RunStatus
from microservices.assistants.store.database import Database
from servicekit.http.client import Timeouts
from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.assistants_engine import engine_bench
from tests.support.assistants_store import MadeSchemas
from tests.support.scripted_upstream import Script

_WORD = scripts.openai_events(["Ciao"])[0]
_SHORT = Timeouts(connect_seconds=5, first_byte_seconds=0.8, idle_seconds=0.6)
#: Script, code of last_error, what its message says, whether a part of the answer came before.
_FAULTS: dict[str, tuple[Script, str, str, bool]] = {
    "500": (scripts.openai_error(500, "on fire"), "server_error", "answered 500: on fire", False),
    "429": (scripts.openai_error(429, "slow down"), "rate_limit_exceeded", "answered 429: slow down", False),
    "400": (scripts.openai_error(400, "bad tool"), "invalid_prompt", "answered 400: bad tool", False),
    "no event": (scripts.stream(scripts.DONE), "server_error", "without any text", False),
    "json": (scripts.completion("Ciao"), "server_error", "JSON where a stream", False),
    "garbage": (scripts.stream(_WORD, b"data: {nonsense\n\n"), "server_error", "broken JSON", True),
    "cut": (scripts.stream(_WORD, scripts.CUT), "server_error", "the gateway", True),
    "stall": (scripts.stream(_WORD, scripts.STALL), "server_error", "the gateway", True),
    "silence": (scripts.silence(), "server_error", "the gateway", False),
}


@pytest_asyncio.fixture
async def sqlite(made_schemas: MadeSchemas, tmp_path: Path) -> AsyncIterator[Database]:
    """Give an empty SQLite database."""
    async with made_schemas.sqlite_copy(tmp_path) as database:
        yield database


async def test_faults_of_the_gateway_fail_the_run(sqlite: Database, scripted_upstream: UpstreamFactory) -> None:
    """Each becomes one of the API's three codes; what had come stays, as incomplete; nothing stays open."""
    upstream = await scripted_upstream(*(script for script, *_ in _FAULTS.values()))
    async with engine_bench(sqlite, upstream.openai_url, timeouts=_SHORT) as bench:
        for name, (_, code, words, is_begun) in _FAULTS.items():
            run = await bench.run()
            ended = await bench.finished(run)
            assert ended.status is RunStatus.FAILED, name
            assert ended.last_error is not None
            assert ended.last_error["code"] == code, (name, ended.last_error)
            assert words in ended.last_error["message"], (name, ended.last_error)
            assert upstream.openai_url in ended.last_error["message"], (name, ended.last_error)
            texts = [(message.status, message.text) for message in await bench.messages(run)]
            assert texts == ([("incomplete", "Ciao")] if is_begun else []), name
            assert await bench.step_statuses(run) == (["failed"] if is_begun else []), name


async def test_gateway_that_is_away_for_good_fails_the_run(sqlite: Database, refused_url: str) -> None:
    """After some tries the run fails, and says where nobody answers."""
    async with engine_bench(sqlite, f"{refused_url}/v1") as bench:
        ended = await bench.finished(await bench.run())
        assert ended.last_error is not None
        assert ended.last_error["code"] == "server_error"
        assert refused_url in ended.last_error["message"]


async def test_gateway_that_restarts_is_asked_again(sqlite: Database, scripted_upstream: UpstreamFactory) -> None:
    """Nothing of the answer had come: the next try answers, and nobody learns of the first."""
    draining = scripts.openai_error(503, "draining", headers={"retry-after": "1"})
    good = scripts.openai_stream(["Ciao"])
    upstream = await scripted_upstream(scripts.close_without_answer(), draining, good)
    async with engine_bench(sqlite, upstream.openai_url) as bench:
        run = await bench.run()
        assert (await bench.finished(run)).status is RunStatus.COMPLETED
        assert [message.text for message in await bench.messages(run)] == ["Ciao"]


async def test_prompt_that_is_too_long_is_made_shorter(sqlite: Database, scripted_upstream: UpstreamFactory) -> None:
    """With the truncation strategy `auto`, older messages are left out until the model takes it."""
    too_long = scripts.openai_error(400, "too long", code="context_length_exceeded")
    upstream = await scripted_upstream(too_long, too_long, scripts.openai_stream(["Ciao"]))
    async with engine_bench(sqlite, upstream.openai_url) as bench:
        run = await bench.run(*(f"Message {number} " + "x" * 400 for number in range(8)))
        assert (await bench.finished(run)).status is RunStatus.COMPLETED
        counts = [len(request.json["messages"]) for request in upstream.requests]
        assert counts[0] == 8 > counts[1] > counts[2] >= 1
        assert upstream.requests[-1].json["messages"][-1]["content"].startswith("Message 7")


async def test_stream_that_nobody_reads_goes_on(sqlite: Database, scripted_upstream: UpstreamFactory) -> None:
    """A follower that leaves does not end the run."""
    upstream = await scripted_upstream(scripts.openai_stream(["Ciao", " mondo"], gap_seconds=0.05))
    async with engine_bench(sqlite, upstream.openai_url) as bench:
        run = await bench.run()
        events = bench.engine.events(run.id)
        await anext(events)
        await events.aclose()
        assert (await bench.finished(run)).status is RunStatus.COMPLETED
