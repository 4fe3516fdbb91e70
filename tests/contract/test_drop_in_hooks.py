"""The `align_*` hooks, in a megaservice of ChatQnA's shape: embedding >> retriever >> rerank >> llm."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import pytest
from comps import ServiceOrchestrator as StockOrchestrator
from comps import ServiceType
from comps.cores.mega.dag import DAG
from comps.cores.proto.docarray import LLMParams, RerankerParms, RetrieverParms
from fastapi import FastAPI, HTTPException
from fastapi.responses import Response

from megaservice import ServiceOrchestrator
from tests.conftest import UpstreamFactory
from tests.support.gateway import pending_requests_settle
from tests.support.megaservices import (
    CHAT_PATH,
    LLM,
    MESSAGES,
    answering,
    chunks_in,
    error_in,
    flow,
    read,
    remote,
    tokens,
)
from tests.support.scripted_upstream import Script, ScriptedUpstream
from tests.support.scripts import CUT, DONE, answer, completion, openai_events, openai_stream, stream
from tests.support.serving import serving

KINDS = {
    "embedding": ServiceType.EMBEDDING,
    "retriever": ServiceType.RETRIEVER,
    "rerank": ServiceType.RERANK,
    "llm": ServiceType.LLM,
}


def align_inputs(
    self: Any,  # noqa: ANN401 - the orchestrator, whichever class it is assigned to
    inputs: dict[str, Any],
    cur_node: str,
    _runtime_graph: DAG,
    llm_parameters_dict: dict[str, Any],
    **kwargs: Any,
) -> dict[str, Any]:
    """Make each service's own request, as published megaservices do."""
    kind = self.services[cur_node].service_type
    if kind == ServiceType.EMBEDDING:
        inputs["inputs"] = inputs.pop("text")
    elif kind == ServiceType.RETRIEVER:
        inputs.update(kwargs["retriever_parameters"].model_dump())
    elif kind == ServiceType.RERANK:
        inputs["top_n"] = kwargs["reranker_parameters"].top_n
    elif kind == ServiceType.LLM:
        messages = [{"role": "user", "content": inputs["inputs"]}]
        chosen = {"max_tokens": llm_parameters_dict["max_tokens"], "temperature": inputs["temperature"]}
        return {"model": inputs["model"], "messages": messages, "stream": inputs["stream"], **chosen}
    return inputs


def align_outputs(
    self: Any,  # noqa: ANN401 - see above
    data: Any,  # noqa: ANN401 - whatever a service answers
    cur_node: str,
    inputs: dict[str, Any],
    runtime_graph: DAG,
    llm_parameters_dict: dict[str, Any],
    **_kwargs: Any,
) -> Any:  # noqa: ANN401 - see above
    """Make the next one's input; without documents the rerank is taken out of the graph that runs."""
    kind = self.services[cur_node].service_type
    if kind == ServiceType.EMBEDDING:
        return {"text": inputs["inputs"], "embedding": data[0]}
    if kind == ServiceType.RETRIEVER and not data["retrieved_docs"]:
        rerank = runtime_graph.downstream(cur_node)[0]
        for below in runtime_graph.downstream(rerank):
            runtime_graph.add_edge(cur_node, below)
        runtime_graph.delete_node_if_exists(rerank)
        return {"inputs": data["initial_query"]}
    if kind == ServiceType.RETRIEVER:
        return {"query": data["initial_query"], "texts": [doc["text"] for doc in data["retrieved_docs"]]}
    if kind == ServiceType.RERANK:
        return {"inputs": " | ".join(data["texts"])}
    return {"text": data["choices"][0]["message"]["content"]} if not llm_parameters_dict["stream"] else data


def align_generator(_self: object, gen: Iterator[bytes], **_kwargs: Any) -> Iterator[str]:
    """Rewrite OpenAI's chunks as OPEA's tokens."""
    for event in gen:
        data = event.decode().removeprefix("data: ").strip()
        if data == "[DONE]":
            continue
        choices = orjson.loads(data)["choices"]
        if choices and choices[0]["delta"].get("content"):
            yield f"data: {choices[0]['delta']['content'].encode()!r}\n\n"
    yield "data: [DONE]\n\n"


@dataclass
class ChatQna:
    """The megaservice, and the upstreams of its services."""

    megaservice: ServiceOrchestrator
    upstreams: dict[str, ScriptedUpstream]

    def sent(self, name: str) -> Any:  # noqa: ANN401 - any JSON
        """Return what a service was asked."""
        return self.upstreams[name].requests[0].json

    async def ask(self, **parameters: Any) -> tuple[dict[str, Any], DAG]:
        """Schedule one question."""
        return await self.megaservice.schedule(
            {"text": "What is OPEA?"},
            LLMParams(model="m", **parameters),
            retriever_parameters=RetrieverParms(k=8),
            reranker_parameters=RerankerParms(top_n=2),
        )


Make = Callable[..., Any]


@pytest.fixture(params=["on our class", "on stock's class"])
def assigned(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Assign the hooks to a class, as most published megaservices do."""
    target = ServiceOrchestrator if request.param == "on our class" else StockOrchestrator
    for hook in (align_inputs, align_outputs, align_generator):
        monkeypatch.setattr(target, hook.__name__, hook)


@pytest.fixture
def chat_qna(assigned: None, scripted_upstream: UpstreamFactory) -> Make:
    """Give a function that starts the services."""

    async def make(llm_script: Any, docs: tuple[str, ...] = ("a", "b", "c")) -> ChatQna:  # noqa: ANN401 - a script
        upstreams = {
            "embedding": await scripted_upstream(answer(200, [[0.1, 0.2]])),
            "retriever": await scripted_upstream(
                answering(lambda doc: {"initial_query": doc["text"], "retrieved_docs": [{"text": t} for t in docs]})
            ),
            "rerank": await scripted_upstream(answering(lambda doc: {"texts": doc["texts"][: doc["top_n"]]})),
            "llm": await scripted_upstream(llm_script),
        }
        paths = {name: CHAT_PATH if name == "llm" else f"/v1/{name}" for name in upstreams}
        services = [remote(name, upstreams[name], paths[name], kind) for name, kind in KINDS.items()]
        return ChatQna(flow(ServiceOrchestrator(), *services), upstreams)

    return make


async def test_chat_qna_hands_hooks_and_parameters_from_service_to_service(chat_qna: Make) -> None:
    """Each hook sees its node, the merged inputs, and the kwargs of `schedule`."""
    service = await chat_qna(completion("A platform."))
    result_dict, graph = await service.ask(stream=False, max_tokens=17)
    assert result_dict[LLM] == {"text": "A platform."}
    assert graph.all_leaves() == [LLM]
    assert service.sent("embedding") == {"inputs": "What is OPEA?"}
    assert (service.sent("retriever")["embedding"], service.sent("retriever")["k"]) == ([0.1, 0.2], 8)
    assert service.sent("rerank") == {"query": "What is OPEA?", "texts": ["a", "b", "c"], "top_n": 2}
    assert service.sent("llm") == {
        "model": "m",
        "messages": [{"role": "user", "content": "a | b"}],
        "stream": False,
        "max_tokens": 17,
        "temperature": 0.01,
    }


async def test_chat_qna_streams_what_align_generator_makes(chat_qna: Make) -> None:
    """OpenAI's chunks in, OPEA's tokens out, `[DONE]` as the hook says."""
    service = await chat_qna(openai_stream(["A plat", "form."]))
    result_dict, _graph = await service.ask()
    assert list(result_dict) == ["embedding/MicroService", "retriever/MicroService", "rerank/MicroService", LLM]
    assert await read(result_dict[LLM]) == b"data: b'A plat'\n\ndata: b'form.'\n\ndata: [DONE]\n\n"
    assert service.sent("llm")["stream"]


async def test_chat_qna_hook_takes_a_node_out_of_the_running_graph(chat_qna: Make) -> None:
    """Published megaservices lead the retriever to the LLM where there are no documents to rank."""
    service = await chat_qna(completion("I do not know."), ())
    result_dict, graph = await service.ask(stream=False)
    assert list(result_dict) == ["embedding/MicroService", "retriever/MicroService", LLM]
    assert service.upstreams["rerank"].requests == []
    assert service.sent("llm")["messages"] == [{"role": "user", "content": "What is OPEA?"}]
    assert graph.all_leaves() == [LLM]
    again = await chat_qna(completion("A platform."))
    assert "rerank/MicroService" in (await again.ask(stream=False))[0]


async def test_generator_over_a_stream_that_breaks_ends_with_an_error_and_no_done(chat_qna: Make) -> None:
    """Though the hook itself ends every stream with `[DONE]`."""
    events = openai_events(["A plat", "form."], done=False, finish_reason=None, usage=None)
    service = await chat_qna(stream(*events, 0.02, CUT))
    result_dict, _graph = await service.ask()
    body = await read(result_dict[LLM])
    assert body.startswith(b"data: b'A plat'\n\n")
    assert error_in(body)["code"] == "upstream_bad_response"
    assert await pending_requests_settle()


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "align_generator"]


async def _no_threads() -> bool:
    for _ in range(200):
        if not _threads():
            return True
        await asyncio.sleep(0.005)
    return False


async def test_generator_thread_ends_when_the_client_leaves(chat_qna: Make) -> None:
    """And so does the upstream's work."""
    service = await chat_qna(openai_stream(["x"] * 500, gap_seconds=0.01))
    result_dict, _graph = await service.ask()
    body = result_dict[LLM].body_iterator
    await anext(body)
    assert len(_threads()) == 1
    await body.aclose()
    assert await _no_threads()
    await service.upstreams["llm"].wait_until_idle()
    assert await pending_requests_settle()


async def test_generator_thread_ends_when_a_client_of_fastapi_leaves(chat_qna: Make) -> None:
    """Starlette cancels the response's task again and again; the thread and the run end all the same."""
    service = await chat_qna(openai_stream(["x"] * 500, gap_seconds=0.01))
    app = FastAPI()

    @app.post("/ask")
    async def ask() -> Response:
        result_dict, _graph = await service.ask()
        response: Response = result_dict[LLM]
        return response

    async with serving(app) as url, httpx.AsyncClient(trust_env=False) as client:
        async with client.stream("POST", f"{url}/ask") as response:
            assert await anext(response.aiter_bytes()) == b"data: b'x'\n\n"
        assert await _no_threads()
        await service.upstreams["llm"].wait_until_idle()
        assert await pending_requests_settle()


async def test_generator_that_raises_becomes_the_error_event(
    scripted_upstream: UpstreamFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came before it stays; the log has the trace."""

    def broken(_self: object, gen: Iterator[bytes], **_kwargs: Any) -> Iterator[bytes]:
        yield next(gen)
        raise KeyError("choices")

    monkeypatch.setattr(ServiceOrchestrator, "align_generator", broken)
    llm = await scripted_upstream(openai_stream(["Ciao", "!"]))
    result_dict, _graph = await flow(ServiceOrchestrator(), remote("llm", llm, CHAT_PATH)).schedule(
        {"messages": MESSAGES}
    )
    body = await read(result_dict[LLM])
    assert chunks_in(body)[0]["choices"][0]["delta"] == {"content": "Ciao"}
    assert error_in(body)["code"] == "internal_error"
    assert await _no_threads()


async def test_generator_gets_one_event_per_item_and_may_stop_early(
    scripted_upstream: UpstreamFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the upstream's reads were cut; the services behind the stream still get the whole text."""
    seen = []

    def first_two(_self: object, gen: Iterator[bytes], **_kwargs: Any) -> Iterator[bytes]:
        for event in gen:
            seen.append(event)
            yield event
            if len(seen) == 2:
                return

    monkeypatch.setattr(ServiceOrchestrator, "align_generator", first_two)
    llm = await scripted_upstream(stream(b"".join(openai_events(["A", "B", "C"]))))
    grader = await scripted_upstream(answer(200, {"score": 1}))
    services = (
        remote("llm", llm, CHAT_PATH),
        remote("grader", grader, "/grade", ServiceType.UNDEFINED, output_datatype=dict),
    )
    result_dict, _graph = await flow(ServiceOrchestrator(), *services).schedule({"messages": MESSAGES})
    body = await read(result_dict[LLM])
    assert [event.count(b"data: ") for event in seen] == [1, 1]
    assert chunks_in(body)[-1]["grader"] == {"score": 1}
    assert grader.requests[0].json["text"] == "ABC"


def _doc_sum_generator(_self: object, gen: Iterator[bytes], **_kwargs: Any) -> Iterator[str]:
    """Read LangServe's `ops` and OpenAI's chunks, as a summary megaservice does; what is neither becomes nothing."""
    for event in gen:
        document = event[event.find(b"{") : event.rfind(b"}") + 1]
        data = orjson.loads(document) if document else {}
        if "ops" in data:
            yield f"data: {data['ops'][0]['value'].encode()!r}\n\n"
        elif data.get("choices") and data["choices"][0]["delta"].get("content"):
            yield f"data: {data['choices'][0]['delta']['content'].encode()!r}\n\n"
    yield "data: [DONE]\n\n"


OPS = [b'data: {"ops": [{"op": "add", "path": "/streamed_output/-", "value": "A sum."}]}\n\n', DONE]


@pytest.mark.parametrize(
    "script",
    [stream(*OPS), answer(200, {"text": "A sum."}), openai_stream(["A sum."]), completion("A sum.")],
    ids=["ops", "text", "chunks", "completion"],
)
async def test_doc_sum_generator_reads_every_dialect(
    scripted_upstream: UpstreamFactory, monkeypatch: pytest.MonkeyPatch, script: Script
) -> None:
    """Also where the service answers JSON, because the hook on the inputs asked for no stream."""
    monkeypatch.setattr(ServiceOrchestrator, "align_generator", _doc_sum_generator)
    llm = await scripted_upstream(script)
    megaservice = flow(ServiceOrchestrator(), remote("llm", llm, "/v1/docsum"))
    result_dict, _graph = await megaservice.schedule({"text": "A long text."})
    assert await read(result_dict[LLM]) == b"data: b'A sum.'\n\ndata: [DONE]\n\n"


async def test_hook_by_subclass_may_return_any_value(scripted_upstream: UpstreamFactory) -> None:
    """A list goes on to a single service behind as it is; hooks change a copy, never the caller's dict."""

    class Own(ServiceOrchestrator):
        def align_inputs(self, inputs: Any, cur_node: str, *_args: Any, **_kwargs: Any) -> Any:  # noqa: ANN401
            if cur_node.startswith("first"):
                inputs["nested"]["list"].append(3)
                return inputs
            return {"items": inputs}

        def align_outputs(self, data: Any, cur_node: str, *_args: Any, **_kwargs: Any) -> Any:  # noqa: ANN401
            return data["nested"]["list"] if cur_node.startswith("first") else data

    echo = await scripted_upstream(answering(lambda doc: doc))
    first = remote("first", echo, "/echo", ServiceType.UNDEFINED)
    second = remote("second", echo, "/echo", ServiceType.UNDEFINED)
    inputs = {"nested": {"list": [1, 2]}}
    result_dict, _graph = await flow(Own(), first, second).schedule(inputs)
    assert result_dict == {"first/MicroService": [1, 2, 3], "second/MicroService": {"items": [1, 2, 3]}}
    assert inputs == {"nested": {"list": [1, 2]}}


async def test_hook_that_raises_fails_schedule_with_its_own_exception(scripted_upstream: UpstreamFactory) -> None:
    """A guard's HTTPException reaches stock FastAPI as it is; the gauge is zero."""

    class Refusing(ServiceOrchestrator):
        def align_inputs(self, *_args: Any, **_kwargs: Any) -> Any:  # noqa: ANN401
            raise HTTPException(451, "refused")

    llm = await scripted_upstream(completion("never asked"))
    for parameters in (LLMParams(), LLMParams(stream=False)):
        with pytest.raises(HTTPException) as caught:
            await flow(Refusing(), remote("llm", llm, CHAT_PATH)).schedule({"messages": MESSAGES}, parameters)
        assert caught.value.status_code == 451
    assert llm.requests == []
    assert await pending_requests_settle()


async def test_hooks_get_the_effective_value_of_every_parameter(scripted_upstream: UpstreamFactory) -> None:
    """Explicit, else the input's, else the default."""
    seen: dict[str, Any] = {}

    class Looking(ServiceOrchestrator):
        def align_inputs(
            self,
            inputs: Any,  # noqa: ANN401
            _node: str,
            _graph: DAG,
            parameters: dict[str, Any],
            **kwargs: Any,
        ) -> Any:  # noqa: ANN401
            seen.update(parameters, mine=kwargs["mine"])
            return inputs

    llm = await scripted_upstream(tokens("Ciao"))
    megaservice = flow(Looking(), remote("llm", llm, "/v1/generate"))
    result_dict, _graph = await megaservice.schedule(
        {"query": "x", "top_k": 3, "temperature": 0.5}, LLMParams(temperature=0.9), mine=1
    )
    assert (await read(result_dict[LLM])).endswith(DONE)
    assert set(LLMParams.model_fields) <= set(seen)
    assert (seen["temperature"], seen["top_k"], seen["max_tokens"], seen["stream"], seen["mine"]) == (
        0.9, 3, 1024, True, 1,
    )  # fmt: skip
