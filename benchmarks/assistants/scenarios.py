"""What is measured: the time of one run, how many run at once, and whether many messages slow anything down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import count, cycle
from statistics import median
from typing import Any

from benchmarks.assistants.client import AssistantsClient
from benchmarks.assistants.scripted_llm import ScriptedLlm

_MESSAGE = {"role": "user", "content": "Hello, how are you?"}
#: Runs on one thread grow its history; each thread gets so few that this does not count.
_RUNS_PER_THREAD = 5
_MESSAGES_PER_THREAD = 100
_SAMPLES = 60


async def run_latency(client: AssistantsClient, llm: ScriptedLlm, runs: int) -> dict[str, float]:
    """Measure single runs, one after the other.

    Returns:
        `p50_ms` from the request to `thread.run.completed`, and `delta_p50_ms` from the LLM's first token to the first
        delta at the client.
    """
    assistant = (await client.post("/assistants", {"model": "bench"}))["id"]
    whole, delta = [], []
    thread = ""
    for number in range(runs):
        if number % _RUNS_PER_THREAD == 0:
            thread = (await client.post("/threads", {"messages": [_MESSAGE]}))["id"]
        times = await client.stream_run(thread, assistant)
        whole.append(times.completed - times.asked)
        delta.append(times.first_delta - llm.first_token_seconds)
    return {"p50_ms": median(whole) * 1e3, "p95_ms": _p95(whole) * 1e3, "delta_p50_ms": median(delta) * 1e3}


async def run_rate(workers: list[AssistantsClient], at_once: int, seconds: float) -> dict[str, float]:
    """Measure how many runs a second end, with so many at work at every moment, spread over the processes."""
    assistant = (await workers[0].post("/assistants", {"model": "bench"}))["id"]
    end = time.monotonic() + seconds
    done = count()

    async def ask(client: AssistantsClient) -> None:
        while time.monotonic() < end:
            thread = (await client.post("/threads", {"messages": [_MESSAGE]}))["id"]
            await client.stream_run(thread, assistant)
            next(done)

    started = time.monotonic()
    turns = cycle(workers)
    await asyncio.gather(*(ask(next(turns)) for _ in range(at_once)))
    return {"runs_per_second": next(done) / (time.monotonic() - started)}


async def growth(client: AssistantsClient, sizes: list[int]) -> list[dict[str, Any]]:
    """Measure listing and appending at growing numbers of threads, each of a hundred messages."""
    threads: list[str] = []
    body = {"messages": [_MESSAGE] * _MESSAGES_PER_THREAD}
    found = []
    for size in sizes:
        while len(threads) < size:
            threads.append((await client.post("/threads", body))["id"])
        found.append(
            {
                "threads": size,
                "messages": size * _MESSAGES_PER_THREAD,
                "list_p50_ms": await _p50(client.get, threads),
                "append_p50_ms": await _p50(lambda path: client.post(path, _MESSAGE), threads),
            }
        )
    return found


async def _p50(ask: Callable[[str], Awaitable[object]], threads: list[str]) -> float:
    taken = []
    for number in range(_SAMPLES):
        thread = threads[number * len(threads) // _SAMPLES % len(threads)]
        started = time.monotonic()
        await ask(f"/threads/{thread}/messages")
        taken.append(time.monotonic() - started)
    return median(taken) * 1e3


def _p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]
