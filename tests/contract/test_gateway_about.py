"""What the gateway tells about itself: OPEA's routes, its models, readiness, statistics and metrics."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.gateway import (
    CHAT,
    GRADE,
    GREETING,
    ask,
    ask_stream,
    chat_file,
    graded_file,
    running_gateway,
)
from tests.support.scripted_upstream import Script

#: The names under which OPEA's dashboards look for a megaservice.
_OPEA_METRICS = {
    "megaservice_first_token_latency",
    "megaservice_inter_token_latency",
    "megaservice_request_latency",
    "megaservice_request_pending",
}


async def _get(url: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        return await client.get(url)


async def test_health_check_answers_as_opeas_services_do(refused_url: str, tmp_path: Path) -> None:
    """The three fields of comps' route, under their own names."""
    async with running_gateway(tmp_path, llm_url=refused_url) as url:
        response = await _get(url + "/v1/health_check")
    assert response.status_code == 200
    assert response.json().keys() == {"Service Title", "Version", "Service Description"}


async def test_health_is_liveness_alone(refused_url: str, tmp_path: Path) -> None:
    """The process answers, whoever else is down."""
    async with running_gateway(tmp_path, llm_url=refused_url) as url:
        response = await _get(url + "/health")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("script", [scripts.answer(200, {"status": "ready"}), scripts.plain_error(404)])
async def test_ready_needs_the_hard_nodes_alone(
    script: Script, scripted_upstream: UpstreamFactory, refused_url: str, tmp_path: Path
) -> None:
    """A soft grader that is down does not make the gateway unready; an LLM without `/ready` is there if it answers."""
    llm = await scripted_upstream(script)
    async with running_gateway(tmp_path, llm_url=llm.url, grader_url=refused_url) as url:
        response = await _get(url + "/ready")
    assert (response.status_code, response.json()) == (200, {"status": "ready"})
    assert {request.path for request in llm.requests} == {"/ready"}


async def test_ready_names_the_node_that_is_down(refused_url: str, tmp_path: Path) -> None:
    """Not ready is a 503 that says which node, once."""
    async with running_gateway(tmp_path, llm_url=refused_url) as url:
        response = await _get(url + "/ready")
    assert response.status_code == 503
    (problem,) = response.json()["problems"]
    assert f"node 'llm' at {refused_url}" in problem


async def test_ready_hands_on_why_a_node_is_not_ready(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """What the node says about itself is in the gateway's answer."""
    llm = await scripted_upstream(scripts.answer(503, {"problems": ["the model is still loading"]}))
    async with running_gateway(tmp_path, llm_url=llm.url) as url:
        response = await _get(url + "/ready")
    assert response.status_code == 503
    assert "the model is still loading" in response.text


async def test_ready_asks_each_address_once_and_all_at_the_same_time(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Two frozen services of three nodes: each is asked once and named once, after one time-out and not three."""
    llm, grader = await scripted_upstream(scripts.silence()), await scripted_upstream(scripts.silence())
    files = [chat_file(llm.url), graded_file(llm.url, grader.url, dependency="hard")]
    async with running_gateway(tmp_path, llm_url=llm.url, files=files) as url:
        began = time.monotonic()
        response = await _get(url + "/ready")
        seconds = time.monotonic() - began
    assert response.status_code == 503
    assert response.json()["problems"] == [
        f"node 'llm' at {llm.url}/ready does not answer within 2 s.",
        f"node 'grader' at {grader.url}/ready does not answer within 2 s.",
    ]
    assert (len(llm.requests), len(grader.requests)) == (1, 1)
    assert seconds < 3.5


async def test_ready_names_every_node_of_an_address_that_is_down(refused_url: str, tmp_path: Path) -> None:
    """One sentence for the address, whatever number of nodes it serves."""
    files = [graded_file(refused_url, refused_url, dependency="hard")]
    async with running_gateway(tmp_path, llm_url=refused_url, files=files) as url:
        response = await _get(url + "/ready")
    (problem,) = response.json()["problems"]
    assert problem.startswith(f"the service of nodes 'llm', 'grader' at {refused_url}/ready cannot be reached")


async def test_ready_needs_one_of_the_replicas(
    scripted_upstream: UpstreamFactory, refused_url: str, tmp_path: Path
) -> None:
    """A node can be answered while one of its endpoints is ready."""
    llm = await scripted_upstream(scripts.answer(200, {"status": "ready"}))
    files = [chat_file(refused_url, replicas=[f"{llm.url}/v1/chat/completions"])]
    async with running_gateway(tmp_path, llm_url=llm.url, files=files) as url:
        assert (await _get(url + "/ready")).status_code == 200


async def test_models_are_those_of_the_models_file_and_the_pipelines(refused_url: str, tmp_path: Path) -> None:
    """Every name that a request may use is listed, with what is behind it."""
    async with running_gateway(tmp_path, llm_url=refused_url) as url:
        models = (await _get(url + "/v1/models")).json()
        one = await _get(url + "/v1/models/short-name")
        none = await _get(url + "/v1/models/test-model")
    assert models["object"] == "list"
    assert [(model["id"], model["root"]) for model in models["data"]] == [
        ("scripted-model", "scripted-model"),
        ("short-name", "scripted-model"),
        ("chat", "chat"),
        ("graded", "graded"),
    ]
    assert one.json() == models["data"][1]
    assert none.status_code == 404
    assert "scripted-model, short-name" in none.json()["error"]["message"]


async def test_statistics_show_latencies_by_route(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """The shape is OPEA's: p50, p99 and average, of the whole answer and of its first byte."""
    llm = await scripted_upstream(scripts.completion("Ciao!"))
    async with running_gateway(tmp_path, llm_url=llm.url) as url:
        for _ in range(3):
            await ask(url + CHAT)
        statistics = (await _get(url + "/v1/statistics")).json()
    chat = statistics[CHAT]
    names = {f"{kind}_latency{part}" for kind in ("p50", "p99", "average") for part in ("", "_first_token")}
    assert chat.keys() == names
    assert 0 < chat["p50_latency"] <= chat["p99_latency"] < 10


def _samples(page: str) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in page.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in lines}


async def test_metrics_have_opeas_names_and_right_values(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """A stream counts its first token and its gaps, a request its latency, and the pending gauge returns to zero."""
    llm = await scripted_upstream(scripts.openai_stream(["Ciao", "!", " Come", " stai?"], gap_seconds=0.01))
    async with running_gateway(tmp_path, llm_url=llm.url) as url:
        before = _samples((await _get(url + "/metrics")).text)
        await ask_stream(url + CHAT)
        page = (await _get(url + "/metrics")).text
    after = _samples(page)
    assert set(_OPEA_METRICS) <= {line.split(" ")[2] for line in page.splitlines() if line.startswith("# TYPE")}

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert grown("megaservice_first_token_latency_count") == 1
    assert grown("megaservice_inter_token_latency_count") >= 3
    assert 0.03 <= grown("megaservice_inter_token_latency_sum") < 5
    assert grown("megaservice_request_latency_count") == 1
    assert 0.03 <= grown("megaservice_request_latency_sum") < 5
    assert after["megaservice_request_pending"] == 0


async def test_metrics_do_not_count_failures_as_latencies(refused_url: str, tmp_path: Path) -> None:
    """A failed run lowers the pending gauge and is no latency; the HTTP counter has it under its status."""
    async with running_gateway(tmp_path, llm_url=refused_url) as url:
        before = _samples((await _get(url + "/metrics")).text)
        await ask(url + CHAT)
        await ask(url + CHAT, stream=True)
        after = _samples((await _get(url + "/metrics")).text)
    name = "megaservice_request_latency_count"
    assert after.get(name) == before.get(name)
    assert after["megaservice_request_pending"] == 0
    assert after[f'http_requests_total{{handler="{CHAT}",method="POST",status="502"}}'] == 2


async def test_metrics_keep_unknown_paths_under_one_label(refused_url: str, tmp_path: Path) -> None:
    """Paths that a scanner invents do not fill the memory."""
    async with running_gateway(tmp_path, llm_url=refused_url) as url:
        for number in range(5):
            await _get(f"{url}/scan/{number}")
        page = (await _get(url + "/metrics")).text
    assert 'http_requests_total{handler="unknown",method="GET",status="404"} 5.0' in page
    assert "/scan/" not in page


async def test_openapi_shows_every_pipeline_endpoint(refused_url: str, tmp_path: Path) -> None:
    """The generated documentation knows the paths that come from the pipeline files, with their body."""
    async with running_gateway(tmp_path, llm_url=refused_url) as url:
        document = (await _get(url + "/openapi.json")).json()
    for path in (CHAT, "/v1/example-service", "/v1/chat"):
        body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert "messages" in body["properties"]


async def test_golden_bytes_of_a_streamed_graded_answer(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """These bytes are what clients parse: a change here is a change of the protocol."""
    llm = await scripted_upstream(scripts.openai_stream(["Ciao", "!"]))
    grader = await scripted_upstream(scripts.answer(200, GRADE))
    async with running_gateway(tmp_path, llm_url=llm.url, grader_url=grader.url) as url:
        answer = await ask_stream(url + "/v1/chat", stream_options={"include_usage": True}, messages=GREETING)
    head = '"id":"chatcmpl-scripted","object":"chat.completion.chunk","created":1,"model":"scripted-model"'
    last = '"id":"chatcmpl-scripted","created":1,"model":"scripted-model","object":"chat.completion.chunk"'
    usage = '"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}'
    grade = '"grade":{"score":0.9,"feedback":"Faithful."}'
    first_delta = '"delta":{"role":"assistant","content":"Ciao"}'
    assert answer.body.decode() == (
        f'data: {{{head},"choices":[{{"index":0,{first_delta},"finish_reason":null}}]}}\n\n'
        f'data: {{{head},"choices":[{{"index":0,"delta":{{"content":"!"}},"finish_reason":null}}]}}\n\n'
        f'data: {{{head},"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}]}}\n\n'
        f'data: {{{last},"choices":[],{grade},{usage}}}\n\n'
        "data: [DONE]\n\n"
    )
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
