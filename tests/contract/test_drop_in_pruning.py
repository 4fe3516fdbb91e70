"""Joins and `downstream_black_list`: what a node gets from several, and which nodes an output keeps from running."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from comps import ServiceType
from comps.cores.proto.docarray import LLMParams

from megaservice import ServiceOrchestrator
from tests.conftest import UpstreamFactory
from tests.support.gateway import ask, ask_stream, running_gateway
from tests.support.megaservices import CHAT_PATH, MESSAGES, answering, flow, read, remote
from tests.support.scripted_upstream import Reply, Script
from tests.support.scripts import answer, completion, openai_stream

PATH = "/v1/chat/guarded"
JSON = LLMParams(stream=False)


def _later(output: Mapping[str, Any], after_seconds: float) -> Script:
    script = answer(200, output)

    async def later(reply: Reply) -> None:
        await asyncio.sleep(after_seconds)
        await script(reply)

    return later


def _pruning(*patterns: str, after_seconds: float = 0.0, **output: Any) -> Script:
    return _later({"text": "refused", **output, "downstream_black_list": list(patterns)}, after_seconds)


async def _join(scripted_upstream: UpstreamFactory, edges: list[str], **scripts: Script) -> ServiceOrchestrator:
    """Register a service for each script, and edges such as `a>c`."""
    megaservice = ServiceOrchestrator()
    for name, script in scripts.items():
        megaservice.add(remote(name, await scripted_upstream(script), f"/{name}", ServiceType.UNDEFINED))
    for edge in edges:
        source, target = (megaservice.services[f"{name}/MicroService"] for name in edge.split(">"))
        assert megaservice.flow_to(source, target)
    return megaservice


@pytest.mark.parametrize("delays", [(0.0, 0.05), (0.05, 0.0)])
async def test_join_runs_while_one_edge_is_live_whoever_ends_first(
    scripted_upstream: UpstreamFactory, delays: tuple[float, float]
) -> None:
    """Stock's row "`a, b >> c` and `b` prunes `c`": it ran or not by who finished first."""
    scripts = {"a": _later({"x": 1}, delays[0]), "b": _pruning("^c/", after_seconds=delays[1])}
    megaservice = await _join(scripted_upstream, ["a>c", "b>c"], **scripts, c=answering(lambda doc: {"got": doc}))
    result_dict, graph = await megaservice.schedule({"text": "Hi"}, JSON)
    assert result_dict["c/MicroService"] == {"got": {"x": 1}}
    assert graph.downstream("b/MicroService") == []
    assert graph.all_leaves() == ["b/MicroService", "c/MicroService"]


@pytest.mark.parametrize("delays", [(0.0, 0.05), (0.05, 0.0)])
async def test_join_merges_in_the_order_of_registration_and_warns(
    scripted_upstream: UpstreamFactory, caplog: pytest.LogCaptureFixture, delays: tuple[float, float]
) -> None:
    """Stock's row "two branches with the same output key": one silently won."""
    scripts = {
        "a": _later({"id": 1, "x": "a", "only_a": 1}, delays[0]),
        "b": _later({"id": 2, "x": "b", "downstream_black_list": []}, delays[1]),
    }
    megaservice = await _join(scripted_upstream, ["b>c", "a>c"], **scripts, c=answering(lambda doc: {"got": doc}))
    result_dict, _graph = await megaservice.schedule({"text": "Hi"}, JSON)
    got = result_dict["c/MicroService"]["got"]
    assert (got["x"], got["only_a"]) == ("b", 1)
    assert "'a/MicroService' and 'b/MicroService' give different 'x'" in caplog.text
    assert "'id'" not in caplog.text


async def test_pruned_branch_leaves_the_graph_with_all_behind_it(scripted_upstream: UpstreamFactory) -> None:
    """As in stock: neither results nor leaves."""
    scripts = {"a": _pruning("b"), "b": answer(200, {}), "c": answer(200, {}), "d": answer(200, {"d": 1})}
    megaservice = await _join(scripted_upstream, ["a>b", "b>c", "a>d"], **scripts)
    result_dict, graph = await megaservice.schedule({"text": "Hi"}, JSON)
    assert list(result_dict) == ["a/MicroService", "d/MicroService"]
    assert graph.all_leaves() == ["d/MicroService"]
    assert list(megaservice.graph) == [f"{name}/MicroService" for name in "abcd"]


async def test_bad_expression_prunes_nothing_and_is_logged(
    scripted_upstream: UpstreamFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """The others still count."""
    scripts = {"a": _pruning("([", "^c"), "b": answer(200, {"b": 1}), "c": answer(200, {})}
    megaservice = await _join(scripted_upstream, ["a>b", "a>c"], **scripts)
    result_dict, _graph = await megaservice.schedule({"text": "Hi"}, JSON)
    assert list(result_dict) == ["a/MicroService", "b/MicroService"]
    assert "'([' is no regular expression" in caplog.text


async def test_guard_that_refuses_answers_a_stream_where_one_was_asked(scripted_upstream: UpstreamFactory) -> None:
    """Stock's format, with what it cannot write: quotes and line feeds."""
    guard = await scripted_upstream(_pruning(".*", text="It's\nrefused"))
    llm = await scripted_upstream(openai_stream(["never"]))
    services = remote("guard", guard, "/guard", ServiceType.GUARDRAIL), remote("llm", llm, CHAT_PATH)
    megaservice = flow(ServiceOrchestrator(), *services)
    result_dict, graph = await megaservice.schedule({"text": "Hi", "messages": MESSAGES})
    body = await read(result_dict["guard/MicroService"])
    assert body == b'data: b"It\'s\\nrefused"\n\ndata: [DONE]\n\n'
    assert (graph.all_leaves(), llm.requests) == (["guard/MicroService"], [])
    result_dict, _graph = await megaservice.schedule({"text": "Hi"}, JSON)
    assert result_dict["guard/MicroService"]["text"] == "It's\nrefused"


async def test_ensemble_of_three_with_one_pruned(scripted_upstream: UpstreamFactory) -> None:
    """A router in front, a join behind: only the chosen branch is merged."""
    names = ("one", "two", "three")
    branches = {name: answer(200, {name: True}) for name in names}
    edges = [*(f"router>{name}" for name in names), *(f"{name}>join" for name in names)]
    megaservice = await _join(
        scripted_upstream, edges, router=_pruning("^two/", "^three/"), **branches, join=answering(lambda doc: doc)
    )
    result_dict, _graph = await megaservice.schedule({"text": "Hi"}, JSON)
    assert result_dict["join/MicroService"] == {"one": True}


def _file(llm_url: str, guard_url: str) -> dict[str, Any]:
    nodes = {
        "guard": {"service_type": "text", "endpoint": f"{guard_url}/v1/guard"},
        "llm": {"service_type": "llm", "endpoint": f"{llm_url}/v1/chat/completions"},
    }
    flow_rules = {"name": "guarded", "endpoints": [PATH], "mega_flow": ["guard >> llm"]}
    return {"opea_micro_services": nodes, "opea_mega_service": flow_rules}


async def test_guard_of_a_pipeline_file_refuses(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """Its text is the answer, in JSON and as a stream; the LLM is not asked."""
    guard, llm = await scripted_upstream(_pruning("llm")), await scripted_upstream(completion("never"))
    async with running_gateway(tmp_path, llm_url=llm.url, files=[_file(llm.url, guard.url)]) as url:
        whole, streamed = await ask(url + PATH), await ask_stream(url + PATH)
    assert whole.json()["choices"][0]["message"]["content"] == streamed.text == "refused"
    assert streamed.ended_well
    assert llm.requests == []
