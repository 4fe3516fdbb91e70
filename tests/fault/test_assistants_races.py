"""Many at once on one thread: one run wins, and everything of it is there once."""

from __future__ import annotations

import asyncio

from microservices.assistants.objects.run import Run, RunStatus
from microservices.assistants.runs.limits import RunLimits
from microservices.assistants.runs.new_run import NewRun
from microservices.assistants.store.database import Database
from microservices.assistants.store.runs import ActiveRunError
from servicekit.errors import InvalidRequestError
from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.assistants_engine import OWNER, EngineBench, data_of, engine_bench

_CALLERS = 40


async def test_forty_runs_on_one_thread_have_one_winner(database: Database, scripted_upstream: UpstreamFactory) -> None:
    """The others are told which run is in their way."""
    upstream = await scripted_upstream(scripts.stream(scripts.openai_events(["Ciao"])[0], scripts.STALL))
    async with engine_bench(database, upstream.openai_url) as bench:
        thread_id, assistant = await bench.thread("Hello?"), await bench.assistant()
        creating = [bench.engine.create(OWNER, thread_id, NewRun(assistant)) for _ in range(_CALLERS)]
        made = await asyncio.gather(*creating, return_exceptions=True)
        (run,) = [item for item in made if isinstance(item, Run)]
        refused = [item for item in made if isinstance(item, ActiveRunError)]
        assert len(refused) == _CALLERS - 1
        assert all(run.id in error.message for error in refused)
        await bench.engine.cancel(OWNER, thread_id, run.id)


async def test_cancellations_and_an_answer_have_one_winner(
    database: Database, scripted_upstream: UpstreamFactory
) -> None:
    """A run that ends and is cancelled at once has one end, and one of the callers brought it about, or none."""
    upstream = await scripted_upstream(scripts.openai_stream(["Ciao", " mondo"]))
    async with engine_bench(database, upstream.openai_url) as bench:
        for delay in (0.0, 0.003, 0.006, 0.01, 0.02):
            run = await bench.run()
            await asyncio.sleep(delay)
            cancelling = [bench.engine.cancel(OWNER, run.thread_id, run.id) for _ in range(3)]
            cancelled = await asyncio.gather(*cancelling, return_exceptions=True)
            winners = [item for item in cancelled if isinstance(item, Run)]
            assert all(isinstance(item, Run | InvalidRequestError) for item in cancelled)
            ended = await bench.finished(run)
            assert len(winners) == (1 if ended.status is RunStatus.CANCELLED else 0)
            await _check_one_end(bench, run, ended)


async def _check_one_end(bench: EngineBench, run: Run, ended: Run) -> None:
    events = [event.event for event in await bench.events(run)]
    assert events[-1] == f"thread.run.{ended.status}"
    statuses = [message.status for message in await bench.messages(run)]
    assert "in_progress" not in statuses
    assert statuses.count("completed") == (1 if ended.status is RunStatus.COMPLETED else 0)


async def test_runs_beyond_the_limit_wait_for_room(database: Database, scripted_upstream: UpstreamFactory) -> None:
    """Two at a time, in the end all of them."""
    upstream = await scripted_upstream(scripts.openai_stream(["Ciao"], gap_seconds=0.01))
    limits = RunLimits(at_once=2, sweep_seconds=0.05)
    async with engine_bench(database, upstream.openai_url, limits=limits) as bench:
        made = [await bench.run() for _ in range(6)]
        ended = [await bench.finished(run) for run in made]
        assert {run.status for run in ended} == {RunStatus.COMPLETED}
        assert upstream.most_open_count <= 2


async def test_late_followers_see_what_early_ones_saw(database: Database, scripted_upstream: UpstreamFactory) -> None:
    """From memory, from the table, from any number on: the same events, none twice and none missing."""
    upstream = await scripted_upstream(scripts.openai_stream([f"{number} " for number in range(60)], gap_seconds=0.002))
    async with engine_bench(database, upstream.openai_url) as bench:
        run = await bench.run()
        early = asyncio.create_task(bench.events(run))
        await asyncio.sleep(0.05)
        middle = asyncio.create_task(bench.events(run, after=8))
        seen = await early
        assert await bench.events(run) == seen
        assert await middle == [event for event in seen if event.number > 8]
        deltas = [data_of(event) for event in seen if event.event == "thread.message.delta"]
        text = "".join(delta["delta"]["content"][0]["text"]["value"] for delta in deltas)
        (message,) = await bench.messages(run)
        assert message.text == text == "".join(f"{number} " for number in range(60))
