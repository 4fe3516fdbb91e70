"""comps' metrics of runs, as they are read from prometheus_client's own registry."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from comps.cores.mega.orchestrator import ServiceOrchestrator
from prometheus_client import REGISTRY, generate_latest

from megaservice.orchestration.observer import MetricsObserver
from megaservice.orchestration.readiness import NodeStatus

_COUNTS = [f"megaservice_{kind}_latency_count" for kind in ("first_token", "inter_token", "request")]
_PENDING = "megaservice_request_pending"


def _value(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


def _grown(before: list[float]) -> list[float]:
    return [_value(name) - old for name, old in zip(_COUNTS, before, strict=True)]


async def test_registry_is_right_after_every_step_of_a_run() -> None:
    """The first token and each gap count as they come; a run that failed has no latency."""
    before, pending = [_value(name) for name in _COUNTS], _value(_PENDING)
    metrics = ServiceOrchestrator().metrics
    run, failed = MetricsObserver(metrics), MetricsObserver(metrics)
    run.started()
    failed.started()
    assert _value(_PENDING) == pending + 2
    run.token()
    run.token()
    run.token("other answer")
    assert _grown(before) == [2, 1, 0]
    run.ended({"llm": NodeStatus.SUCCEEDED, "grader": NodeStatus.SKIPPED})
    failed.ended({"llm": NodeStatus.SUCCEEDED, "grader": NodeStatus.FAILED})
    assert f"\n{_PENDING} {pending}\n" in generate_latest(REGISTRY).decode()
    assert _grown(before) == [2, 1, 1]


def test_event_loops_in_several_threads_share_the_metrics() -> None:
    """As where a program runs several megaservices: every run and token counts once, and none stays pending."""
    before, pending = [_value(name) for name in _COUNTS], _value(_PENDING)

    async def runs() -> None:
        metrics = ServiceOrchestrator().metrics
        for _ in range(200):
            run = MetricsObserver(metrics)
            run.started()
            for _ in range(10):
                run.token()
            await asyncio.sleep(0)
            run.ended({"llm": NodeStatus.SUCCEEDED})

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(asyncio.run, runs()) for _ in range(4)]:
            done.result()
    assert _grown(before) == [800, 7200, 800]
    assert _value(_PENDING) == pending
