"""A run that never gets to its end, whoever begins it."""

from __future__ import annotations

import asyncio

from microservices.assistants.objects.run import Run, RunStatus
from microservices.assistants.runs.limits import RunLimits
from microservices.assistants.store import runs
from microservices.assistants.store.database import Database
from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.assistants_engine import EngineBench, engine_bench

_ATTEMPTS = 2
_LIMITS = RunLimits(attempts=_ATTEMPTS, sweep_seconds=0.05)
_WAIT_SECONDS = 20.0


async def test_run_fails_after_its_attempts_and_frees_its_thread(
    database: Database, scripted_upstream: UpstreamFactory
) -> None:
    """Each engine ends while the model is silent; the one after the last attempt says so instead of asking again."""
    upstream = await scripted_upstream(scripts.stream(scripts.openai_events(["Ciao"])[0], scripts.STALL))
    run: Run | None = None
    for attempt in range(1, _ATTEMPTS + 1):
        async with engine_bench(database, upstream.openai_url, limits=_LIMITS) as bench:
            run = run or await bench.run()
            await _until_attempt(database, run, attempt)
    assert run is not None
    async with engine_bench(database, upstream.openai_url, limits=_LIMITS) as bench:
        ended = await bench.finished(run)
        await _check_failed(bench, ended)


async def _until_attempt(database: Database, run: Run, attempt: int) -> None:
    async with asyncio.timeout(_WAIT_SECONDS):
        while True:
            async with database.read() as connection:
                found = await runs.find(connection, run.id)
            if found is not None and found.attempts == attempt and found.status is RunStatus.IN_PROGRESS:
                return
            await asyncio.sleep(0.02)


async def _check_failed(bench: EngineBench, ended: Run) -> None:
    assert ended.status is RunStatus.FAILED
    assert ended.last_error is not None
    assert ended.last_error["code"] == "server_error"
    assert f"died {_ATTEMPTS} times" in ended.last_error["message"]
    assert "in_progress" not in [message.status for message in await bench.messages(ended)]
    async with bench.database.read() as connection:
        assert await runs.active_of(connection, ended.thread_id) is None
