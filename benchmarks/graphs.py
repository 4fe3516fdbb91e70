"""What a node costs in our orchestrator, in process: chains and fan-outs of nodes that answer at once.

`python -m benchmarks.graphs` prints one JSON object: CPU seconds per request by graph. Nothing is waited for,
and CPU time is what other work on the machine moves least.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from statistics import median
from typing import Any, cast

import orjson
import uvloop

from megaservice.orchestration.orchestrator import ServiceOrchestrator
from megaservice.pipeline.loader import parse_pipeline
from servicekit.http.client import HttpClient

CHAINS = (5, 10, 20)
FANS = (12, 25, 50)
_SAMPLES = 7
_REQUESTS_PER_SAMPLE = 20
_INPUTS = {"messages": [{"role": "user", "content": "Hello"}], "stream": False}
_COMPLETION = orjson.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "bench",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Ciao!"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
)
_GRADE = orjson.dumps({"score": 1.0, "feedback": "Right."})


class _InstantAnswer:
    status = 200
    headers: Mapping[str, str] = {"content-type": "application/json"}


class _InstantHttp:
    """An HTTP client whose upstreams answer without a network: what is left is the orchestrator's own cost."""

    async def fetch(self, _method: str, target: Any, **_options: Any) -> tuple[_InstantAnswer, bytes]:  # noqa: ANN401
        return _InstantAnswer(), _GRADE if target.url.endswith("/grade") else _COMPLETION


def chain(length: int) -> str:
    """Return a pipeline of LLMs in a row."""
    names = [f"n{number}" for number in range(length)]
    return _pipeline(dict.fromkeys(names, "/v1/chat/completions"), " >> ".join(names))


def fan(width: int) -> str:
    """Return a pipeline of one LLM and graders side by side behind it."""
    graders = [f"grader{number}" for number in range(width)]
    nodes = {"llm": "/v1/chat/completions", **dict.fromkeys(graders, "/grade")}
    return _pipeline(nodes, f"llm >> ({', '.join(graders)})")


def _pipeline(nodes: Mapping[str, str], flow: str) -> str:
    services = {name: {"endpoint": f"http://127.0.0.1:9{path}"} for name, path in nodes.items()}
    return json.dumps({"opea_micro_services": services, "opea_mega_service": {"mega_flow": [flow]}})


async def _seconds_per_request(text: str) -> float:
    pipeline = parse_pipeline(text, "bench.yaml", {})
    orchestrator = ServiceOrchestrator.for_pipeline(pipeline, cast("HttpClient", _InstantHttp()))
    samples = []
    for _ in range(_SAMPLES + 1):  # the first one warms up
        started = time.process_time()
        for _ in range(_REQUESTS_PER_SAMPLE):
            results, _graph = await orchestrator.schedule(_INPUTS)
        samples.append((time.process_time() - started) / _REQUESTS_PER_SAMPLE)
        if len(results) != len(pipeline.dag.nodes):
            raise RuntimeError(f"{len(results)} of {len(pipeline.dag.nodes)} nodes ran")
    return median(samples[1:])


async def _measure() -> dict[str, dict[str, float]]:
    return {
        "chain": {str(length): await _seconds_per_request(chain(length)) for length in CHAINS},
        "fan": {str(width): await _seconds_per_request(fan(width)) for width in FANS},
    }


def main() -> None:
    """Measure and print."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(_measure())))


if __name__ == "__main__":
    main()
