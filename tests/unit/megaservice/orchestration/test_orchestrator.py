"""The ServiceOrchestrator over a pipeline: OPEA's definitions, keys and graph, and whose parameters win."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from comps import MicroService
from comps import ServiceOrchestrator as StockOrchestrator
from comps.cores.proto.docarray import LLMParams
from fastapi import HTTPException
from fastapi.responses import StreamingResponse

import megaservice
from megaservice.orchestration.errors import ScheduleError
from megaservice.orchestration.orchestrator import ServiceOrchestrator
from megaservice.pipeline.loader import parse_pipeline
from servicekit.errors import RateLimitedError
from servicekit.http.client import HttpClient
from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.gateway import GRADE, GREETING, StreamedAnswer

INPUTS: dict[str, Any] = {"messages": GREETING}


def _orchestrator(http: HttpClient, llm_url: str, grader_url: str) -> ServiceOrchestrator:
    text = f"""
        opea_micro_services:
          llm: {{endpoint: '{llm_url}/v1/chat/completions'}}
          grader: {{endpoint: '{grader_url}/v1/grade'}}
        opea_mega_service: {{mega_flow: [llm >> grader]}}
    """
    return ServiceOrchestrator.for_pipeline(parse_pipeline(text, "p.yaml", {}), http)


def test_orchestrator_is_a_subclass_of_opeas_and_the_packages_own_name() -> None:
    """`from megaservice import ServiceOrchestrator` is the drop-in."""
    assert issubclass(ServiceOrchestrator, StockOrchestrator)
    assert megaservice.ServiceOrchestrator is ServiceOrchestrator
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = megaservice.Nothing


def test_orchestrator_registers_each_node_as_a_remote_microservice() -> None:
    """Host, port and path come from the endpoint; nothing is bound, nothing served."""
    orchestrator = _orchestrator(HttpClient(), "http://llm.example:9002", "https://grader.example")
    services = orchestrator.services
    assert list(services) == ["llm/MicroService", "grader/MicroService"]
    llm, grader = services["llm/MicroService"], services["grader/MicroService"]
    assert isinstance(llm, MicroService)
    assert llm.endpoint_path(None) == "http://llm.example:9002/v1/chat/completions"
    assert (grader.host, grader.port) == ("grader.example", 443)
    assert orchestrator.downstream("llm/MicroService") == ["grader/MicroService"]
    assert orchestrator.all_leaves() == ["grader/MicroService"]


async def test_schedule_returns_outputs_by_service_name_and_the_graph_that_ran(
    scripted_upstream: UpstreamFactory,
) -> None:
    """Stock's contract: `(result_dict, runtime_graph)`."""
    llm = await scripted_upstream(scripts.completion("Ciao"))
    grader = await scripted_upstream(scripts.answer(200, GRADE))
    async with HttpClient() as http:
        results, graph = await _orchestrator(http, llm.url, grader.url).schedule(INPUTS)
    assert list(results) == ["llm/MicroService", "grader/MicroService"]
    assert results["llm/MicroService"]["choices"][0]["message"]["content"] == "Ciao"
    assert results["grader/MicroService"] == GRADE
    assert graph.all_leaves() == ["grader/MicroService"]


async def test_schedule_returns_a_streaming_response_for_a_stream(scripted_upstream: UpstreamFactory) -> None:
    """Callers read its `body_iterator`."""
    llm = await scripted_upstream(scripts.openai_stream(["Ciao", "!"]))
    grader = await scripted_upstream(scripts.answer(200, GRADE))
    async with HttpClient() as http:
        results, _graph = await _orchestrator(http, llm.url, grader.url).schedule({**INPUTS, "stream": True})
        response = results["llm/MicroService"]
        assert isinstance(response, StreamingResponse)
        body = b"".join([part async for part in response.body_iterator if isinstance(part, bytes)])
    answer = StreamedAnswer(200, httpx.Headers(), body)
    assert (answer.text, answer.ended_well) == ("Ciao!", True)
    assert answer.chunks[-1]["grader"] == GRADE


async def test_schedule_raises_an_http_exception_with_the_right_status(scripted_upstream: UpstreamFactory) -> None:
    """Stock FastAPI around a published megaservice answers it by itself."""
    llm = await scripted_upstream(scripts.openai_error(429, "slow down", headers={"retry-after": "3"}))
    async with HttpClient() as http:
        for stream in (False, True):
            with pytest.raises(HTTPException) as caught:
                await _orchestrator(http, llm.url, llm.url).schedule({**INPUTS, "stream": stream})
            assert caught.value.status_code == 429
            assert (caught.value.headers or {})["retry-after"] == "3"
            assert isinstance(caught.value, ScheduleError)
            assert isinstance(caught.value.error, RateLimitedError)


_PARAMETERS = [
    ({"temperature": 0.3}, None, {"temperature": 0.3}),
    ({"temperature": 0.3}, LLMParams(), {"temperature": 0.3}),
    ({"temperature": 0.3}, LLMParams(temperature=0.9), {"temperature": 0.9}),
    ({}, LLMParams(top_p=0.5, max_tokens=7), {"top_p": 0.5, "max_tokens": 7}),
    ({"model": "asked"}, LLMParams(), {"model": "asked"}),
    ({"model": "asked"}, LLMParams(model="set"), {"model": "set"}),
    ({}, LLMParams(), {}),
]


@pytest.mark.parametrize(("asked", "parameters", "sent"), _PARAMETERS)
async def test_schedule_explicit_parameters_beat_inputs_and_inputs_beat_defaults(
    asked: dict[str, Any], parameters: LLMParams | None, sent: dict[str, Any], scripted_upstream: UpstreamFactory
) -> None:
    """Stock's defaults (`model=None`, `stream=True`) are never sent."""
    llm = await scripted_upstream(scripts.completion("Ciao"))
    grader = await scripted_upstream(scripts.answer(200, GRADE))
    async with HttpClient() as http:
        await _orchestrator(http, llm.url, grader.url).schedule({**INPUTS, **asked, "stream": False}, parameters)
    body = llm.requests[0].json
    assert not body.pop("stream", False)
    assert body == {"messages": GREETING, **sent}


async def test_schedule_explicit_stream_parameter_asks_for_a_stream(scripted_upstream: UpstreamFactory) -> None:
    """`LLMParams(stream=True)` counts, because it was set; the default of the same value does not."""
    llm = await scripted_upstream(scripts.openai_stream(["Ciao"]))
    grader = await scripted_upstream(scripts.answer(200, GRADE))
    async with HttpClient() as http:
        results, _graph = await _orchestrator(http, llm.url, grader.url).schedule(INPUTS, LLMParams(stream=True))
        response = results["llm/MicroService"]
        assert isinstance(response, StreamingResponse)
        assert b"[DONE]" in b"".join([part async for part in response.body_iterator if isinstance(part, bytes)])
