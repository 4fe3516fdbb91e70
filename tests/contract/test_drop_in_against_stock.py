"""The same megaservice on stock's class and on ours, where stock gets it right: the same results, the same requests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from comps import ServiceOrchestrator as StockOrchestrator
from comps import ServiceType
from comps.cores.mega.dag import DAG
from comps.cores.proto.docarray import LLMParams

from megaservice import ServiceOrchestrator
from servicekit.metrics_batch import flush_all
from tests.conftest import UpstreamFactory
from tests.support.megaservices import CHAT_PATH, LLM, MESSAGES, ThreadedUpstream, answering, read, remote, tokens
from tests.support.scripted_upstream import RecordedRequest
from tests.support.scripts import answer, completion, openai_stream

# Stock calls pydantic's `dict`, and leaves sessions of `requests` to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The `dict` method is deprecated", "ignore::pytest.PytestUnraisableExceptionWarning"
)
BOTH = pytest.mark.parametrize("kind", [StockOrchestrator, ServiceOrchestrator], ids=["stock", "ours"])
#: Stock overlays every field of LLMParams, so these are the values that both send where all are set.
ALL_SET = LLMParams(**{**LLMParams(model="m", stream=False).model_dump(exclude={"id"})})


@pytest.fixture(autouse=True)
def _pending_gauge() -> Iterator[None]:
    """Put the gauge back, which stock leaves up and every orchestrator of the process shares."""
    yield
    gauge = StockOrchestrator().metrics.request_pending
    if gauge is not None:
        flush_all()  # a change of ours that still waits would come on top of the zero
        gauge.set(0)


def _fields(request: RecordedRequest) -> dict[str, Any]:
    """Return what was sent, without the random id of LLMParams."""
    return {key: value for key, value in request.json.items() if key != "id"}


async def _run(megaservice: Any, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], DAG]:  # noqa: ANN401 - either class
    result: tuple[dict[str, Any], DAG] = await megaservice.schedule(*args, **kwargs)
    return result


@BOTH
async def test_one_llm_in_json_mode(scripted_upstream: UpstreamFactory, kind: type[StockOrchestrator]) -> None:
    """An OPEA text service: the same body, value for value, the same result, key and leaf."""
    llm = await scripted_upstream(answer(200, {"text": "Ciao!"}))
    megaservice = kind().add(remote("llm", llm, "/v1/generate"))
    result_dict, graph = await _run(megaservice, {"query": "Hello!"}, ALL_SET)
    assert result_dict == {LLM: {"text": "Ciao!"}}
    assert graph.all_leaves() == [LLM]
    assert megaservice.get_all_final_outputs(result_dict, graph) == result_dict
    expected = {**ALL_SET.model_dump(exclude={"id"}, exclude_none=True), "query": "Hello!"}
    assert _fields(llm.requests[0]) == expected


@BOTH
async def test_openai_endpoint_in_json_mode(scripted_upstream: UpstreamFactory, kind: type[StockOrchestrator]) -> None:
    """The answer travels as it came."""
    llm = await scripted_upstream(completion("Ciao!", logprobs=None))
    result_dict, _graph = await _run(kind().add(remote("llm", llm, CHAT_PATH)), {"messages": MESSAGES}, ALL_SET)
    assert result_dict[LLM]["choices"][0]["message"] == {"role": "assistant", "content": "Ciao!"}
    assert "logprobs" in result_dict[LLM]["choices"][0]
    sent = llm.requests[0].json
    assert (sent["messages"], sent["model"], sent["max_tokens"], sent["stream"]) == (MESSAGES, "m", 1024, False)


@BOTH
async def test_diamond_with_hooks(scripted_upstream: UpstreamFactory, kind: type[StockOrchestrator]) -> None:
    """Inputs, kwargs, merged outputs, the order of calls."""
    calls: list[str] = []

    class Megaservice(kind):  # type: ignore[misc]  # either class
        def align_inputs(
            self,
            inputs: dict[str, Any],
            cur_node: str,
            runtime_graph: DAG,
            llm_parameters_dict: dict[str, Any],
            **kwargs: Any,
        ) -> dict[str, Any]:
            calls.append(f"in {cur_node} {sorted(runtime_graph.downstream(cur_node))} {kwargs['extra']}")
            return {**inputs, "top_k": llm_parameters_dict["top_k"]}

        def align_outputs(self, data: dict[str, Any], cur_node: str, *_args: Any, **_kwargs: Any) -> dict[str, Any]:
            return {f"out_{cur_node[0]}": data}

    echo = await scripted_upstream(answering(lambda doc: {"keys": sorted(doc)}))
    megaservice = Megaservice()
    services = {name: remote(name, echo, f"/{name}", ServiceType.UNDEFINED) for name in "abcd"}
    for service in services.values():
        megaservice.add(service)
    for source, target in ("ab", "ac", "bd", "cd"):
        megaservice.flow_to(services[source], services[target])
    result_dict, graph = await _run(megaservice, {"text": "x"}, LLMParams(top_k=3), extra=1)
    assert result_dict["d/MicroService"] == {"out_d": {"keys": ["out_b", "out_c", "top_k"]}}
    assert set(result_dict) == {f"{name}/MicroService" for name in "abcd"}
    assert graph.all_leaves() == ["d/MicroService"]
    assert sorted(calls)[0] == "in a/MicroService ['b/MicroService', 'c/MicroService'] 1"
    assert len(calls) == 4


@BOTH
async def test_pruning(scripted_upstream: UpstreamFactory, kind: type[StockOrchestrator]) -> None:
    """OPEA's own example: all run, one is pruned, all are pruned."""

    def first(doc: dict[str, Any]) -> dict[str, Any]:
        pruned = {"Hi": [], "Bye": [".*"]}.get(doc["text"], ["two"])
        return {"text": doc["text"], "downstream_black_list": pruned}

    upstream = await scripted_upstream(answering(first))
    names = ("one", "two", "three")
    services = [remote(name, upstream, "/add", ServiceType.UNDEFINED) for name in names]
    megaservice = kind()
    for service in services:
        megaservice.add(service)
    for below in services[1:]:
        megaservice.flow_to(services[0], below)
    lengths = []
    for text in ("Hi", "Bye", "Other"):
        result_dict, _graph = await _run(megaservice, {"text": text})
        lengths.append(len(result_dict))
    assert lengths == [3, 1, 2]


@BOTH
async def test_pruned_stream(scripted_upstream: UpstreamFactory, kind: type[StockOrchestrator]) -> None:
    """A guard that refuses: the same bytes."""
    guard = await scripted_upstream(answer(200, {"text": "refused", "downstream_black_list": [".*"]}))
    services = remote("guard", guard, "/g", ServiceType.GUARDRAIL), remote("llm", guard, "/l")
    megaservice = kind().add(services[0]).add(services[1])
    megaservice.flow_to(*services)
    result_dict, graph = await _run(megaservice, {"text": "Hi"})
    assert await read(result_dict["guard/MicroService"]) == b"data: b'refused'\n\ndata: [DONE]\n\n"
    assert graph.all_leaves() == ["guard/MicroService"]


@BOTH
@pytest.mark.parametrize(
    ("path", "script"), [(CHAT_PATH, openai_stream(["Ciao", "!"])), ("/v1/generate", tokens("Ciao", "!"))]
)
async def test_streams_pass_byte_by_byte(kind: type[StockOrchestrator], path: str, script: Any) -> None:  # noqa: ANN401
    """OpenAI's chunks and OPEA's tokens."""
    with ThreadedUpstream(script) as llm:
        result_dict, graph = await _run(kind().add(remote("llm", llm, path)), {"messages": MESSAGES})
        body = await read(result_dict[LLM])
    assert body.endswith(b"data: [DONE]\n\n")
    assert body.count(b"data: ") == (5 if path == CHAT_PATH else 3)
    assert (b'"content":"Ciao"' in body) == (path == CHAT_PATH)
    assert graph.all_leaves() == [LLM]


@BOTH
async def test_generator_hook(kind: type[StockOrchestrator]) -> None:
    """It sees the same events, `[DONE]` too, and its kwargs."""

    class Megaservice(kind):  # type: ignore[misc]  # either class
        def align_generator(self, gen: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            for chunk in gen:
                for event in re.findall(rb"data: .*\n\n", chunk):
                    yield event.replace(b"Ciao", kwargs["word"])

    with ThreadedUpstream(tokens("Ciao", "!")) as llm:
        result_dict, _graph = await _run(Megaservice().add(remote("llm", llm, "/l")), {"query": "x"}, word=b"Salve")
        body = await read(result_dict[LLM])
    assert body == b"data: b'Salve'\n\ndata: b'!'\n\ndata: [DONE]\n\n"


@BOTH
async def test_text_service_behind_a_stream(kind: type[StockOrchestrator]) -> None:
    """Sentences out, tokens back, under the text service's key."""
    with ThreadedUpstream(tokens("It", " is", " so.")) as llm, ThreadedUpstream(answering(_wavy)) as service:
        services = remote("llm", llm, "/l"), remote("text", service, "/t", ServiceType.UNDEFINED)
        megaservice = kind().add(services[0]).add(services[1])
        megaservice.flow_to(*services)
        result_dict, graph = await _run(megaservice, {"query": "x"})
        assert list(result_dict) == graph.all_leaves() == ["text/MicroService"]
        items = [item async for item in result_dict["text/MicroService"].body_iterator]
        sent = [orjson.loads(request.body) for request in service.requests]
    words = [megaservice.extract_chunk_str(item).strip() for item in items]
    assert [word for word in words if word][:4] == ["It", "is", "so.", "~~~"]
    assert (items[-1] if isinstance(items[-1], str) else items[-1].decode()) == "data: [DONE]\n\n"
    assert sent[0] == {"text": "It is so."}


def _wavy(doc: dict[str, Any]) -> dict[str, Any]:
    return {"text": doc["text"] + " ~~~"}
