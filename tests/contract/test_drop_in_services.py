"""`from megaservice import ServiceOrchestrator` in megaservices with one service: the calls, the values, the keys."""

from __future__ import annotations

import time
from typing import Any

import anyio
import httpx
import pytest
from comps import MicroService, ServiceType
from comps.cores.proto.docarray import LLMParams, TextDoc
from fastapi import FastAPI, Request
from fastapi.responses import Response

from megaservice import ServiceOrchestrator
from megaservice.orchestration.errors import ScheduleError
from servicekit.context import CallContext
from tests.conftest import UpstreamFactory
from tests.support.gateway import pending_requests_settle
from tests.support.megaservices import CHAT_PATH, LLM, MESSAGES, answering, flow, read, remote, text_of_chunks, tokens
from tests.support.scripts import DONE, answer, completion, completion_object, openai_error, openai_stream, silence
from tests.support.serving import serving


def _remote(name: str = "llm") -> MicroService:
    return MicroService(name=name, host="127.0.0.1", port=1, endpoint=CHAT_PATH, use_remote_service=True)


def test_add_chains_and_refuses_a_name_twice() -> None:
    """As in stock."""
    megaservice = ServiceOrchestrator()
    assert megaservice.add(_remote("a")).add(_remote("b")) is megaservice
    assert list(megaservice.services) == ["a/MicroService", "b/MicroService"]
    with pytest.raises(Exception, match="a/MicroService already exists"):
        megaservice.add(_remote("a"))


def test_flow_to_returns_false_and_logs_why(caplog: pytest.LogCaptureFixture) -> None:
    """Stock's row "`flow_to` with a cycle or an unknown node": the same bool, and the path or the names in the log."""
    a, b = _remote("a"), _remote("b")
    megaservice = flow(ServiceOrchestrator(), a, b)
    assert not megaservice.flow_to(b, a)
    assert "a/MicroService >> b/MicroService >> a/MicroService" in caplog.text
    assert not megaservice.flow_to(a, _remote("c"))
    assert "c/MicroService was not added. The services there are: a/MicroService, b/MicroService." in caplog.text
    assert list(megaservice.graph["a/MicroService"]) == ["b/MicroService"]


def test_edges_keep_the_order_of_flow_to() -> None:
    """Stock's row "edges": a set, so the order depended on the hash seed."""
    services = [_remote(name) for name in "abcdefgh"]
    megaservice = ServiceOrchestrator()
    for service in services:
        megaservice.add(service)
    for service in reversed(services[1:]):
        megaservice.flow_to(services[0], service)
    assert megaservice.downstream("a/MicroService") == [f"{name}/MicroService" for name in "hgfedcb"]


async def test_translation_in_json_mode(scripted_upstream: UpstreamFactory) -> None:
    """One LLM, no hooks: the `chat.completion` under its key, and a graph whose leaf is the LLM."""
    llm = await scripted_upstream(completion("Ciao!"))
    megaservice = flow(ServiceOrchestrator(), remote("llm", llm, CHAT_PATH))
    inputs = {"messages": MESSAGES, "model": "m"}
    result_dict, graph = await megaservice.schedule(inputs, LLMParams(stream=False, max_tokens=5))
    assert result_dict == {LLM: completion_object("Ciao!")}
    assert graph.all_leaves() == [LLM]
    assert megaservice.get_all_final_outputs(result_dict, graph) == result_dict
    assert llm.requests[0].json == {"messages": MESSAGES, "model": "m", "max_tokens": 5, "stream": False}
    assert "authorization" not in llm.requests[0].headers
    assert inputs == {"messages": MESSAGES, "model": "m"}


async def test_inputs_beat_default_parameters(scripted_upstream: UpstreamFactory) -> None:
    """Stock's row "`schedule` with default LLMParams": neither `stream: false` nor the model is overwritten."""
    llm = await scripted_upstream(completion("Ciao!"))
    megaservice = flow(ServiceOrchestrator(), remote("llm", llm, CHAT_PATH))
    inputs = {"model": "llama3.2:1b", "messages": MESSAGES, "stream": False}
    result_dict, _graph = await megaservice.schedule(inputs, LLMParams())
    assert result_dict[LLM]["choices"][0]["message"]["content"] == "Ciao!"
    assert llm.requests[0].json == inputs


async def test_explicit_parameters_beat_inputs_and_the_default_is_a_stream(scripted_upstream: UpstreamFactory) -> None:
    """Stock streams where nobody says anything."""
    llm = await scripted_upstream(openai_stream(["Ciao", "!"]))
    megaservice = flow(ServiceOrchestrator(), remote("llm", llm, CHAT_PATH))
    parameters = LLMParams(temperature=0.7, model="explicit", max_new_tokens=3)
    result_dict, _graph = await megaservice.schedule({"messages": MESSAGES, "temperature": 0.1}, parameters)
    assert text_of_chunks(await read(result_dict[LLM])) == "Ciao!"
    expected = {"messages": MESSAGES, "temperature": 0.7, "model": "explicit", "stream": True}
    assert llm.requests[0].json == expected


async def test_other_endpoints_get_stocks_full_overlay(scripted_upstream: UpstreamFactory) -> None:
    """OPEA's own LLM services read every field; a model that is None is not sent."""
    llm = await scripted_upstream(answering(lambda doc: {"text": "Ciao!", "got": doc}))
    megaservice = flow(ServiceOrchestrator(), remote("llm", llm, "/v1/generate"))
    inputs = {"query": "Hello!", "top_k": 3, "stream": False}
    result_dict, _graph = await megaservice.schedule(inputs)
    got = result_dict[LLM]["got"]
    assert (got["query"], got["top_k"], got["max_tokens"], got["repetition_penalty"]) == ("Hello!", 3, 1024, 1.03)
    assert (got["stream"], "model" in got) == (False, False)


async def test_text_of_an_input_becomes_the_message_of_an_openai_endpoint(scripted_upstream: UpstreamFactory) -> None:
    """An OPEA field that OpenAI servers do not know is not lost with its name."""
    llm = await scripted_upstream(completion("Ciao!"))
    megaservice = flow(ServiceOrchestrator(), remote("llm", llm, CHAT_PATH))
    await megaservice.schedule({"text": "Hello!"}, LLMParams(stream=False))
    assert llm.requests[0].json == {"messages": MESSAGES, "stream": False}


async def test_translation_asked_with_opeas_query_answers_opeas_text(scripted_upstream: UpstreamFactory) -> None:
    """As the published megaservice asks, whichever server is behind OpenAI's path."""
    openai, opea = await scripted_upstream(completion("Ciao!")), await scripted_upstream(answer(200, {"text": "Ciao!"}))
    for upstream in (openai, opea):
        megaservice = flow(ServiceOrchestrator(), remote("llm", upstream, CHAT_PATH))
        result_dict, graph = await megaservice.schedule({"query": "Translate: Hello!"}, LLMParams(stream=False))
        assert result_dict[graph.all_leaves()[-1]]["text"] == "Ciao!"


async def test_translation_streams_opeas_tokens_from_openais_path(scripted_upstream: UpstreamFactory) -> None:
    """OPEA's own LLM service writes them there."""
    llm = await scripted_upstream(tokens("Ciao", "!"))
    result_dict, _graph = await flow(ServiceOrchestrator(), remote("llm", llm, CHAT_PATH)).schedule({"query": "Hi"})
    assert await read(result_dict[LLM]) == b"data: b'Ciao'\n\ndata: b'!'\n\ndata: [DONE]\n\n"


async def test_model_object_is_an_input_too(scripted_upstream: UpstreamFactory) -> None:
    """A pydantic request travels as its fields, without nulls."""
    service = await scripted_upstream(answering(lambda doc: {"text": doc["text"] + "!"}))
    megaservice = flow(ServiceOrchestrator(), remote("add", service, "/add", ServiceType.UNDEFINED))
    result_dict, _graph = await megaservice.schedule(TextDoc(text="Ciao"))
    assert result_dict == {"add/MicroService": {"text": "Ciao!"}}
    assert service.requests[0].json["text"] == "Ciao"


async def test_api_key_goes_to_the_service_that_has_one(scripted_upstream: UpstreamFactory) -> None:
    """`endpoint_path` as in stock: with a key the host is the whole address; the key goes nowhere else."""
    llm = await scripted_upstream(completion("Ciao!"))
    other = await scripted_upstream(answer(200, {"text": "x"}))
    keyed = remote("llm", llm, CHAT_PATH, api_key="secret")
    keyed.host = llm.url
    megaservice = flow(ServiceOrchestrator(), keyed, remote("other", other, "/x", ServiceType.UNDEFINED))
    await megaservice.schedule({"messages": MESSAGES}, LLMParams(stream=False))
    assert llm.requests[0].headers["authorization"] == "Bearer secret"
    assert "authorization" not in other.requests[0].headers


async def test_audio_is_bytes(scripted_upstream: UpstreamFactory) -> None:
    """A text-to-speech service answers a WAV file."""
    tts = await scripted_upstream(answer(200, b"RIFF....WAVE", content_type="audio/wav"))
    megaservice = flow(ServiceOrchestrator(), remote("tts", tts, "/v1/audio/speech", ServiceType.TTS))
    result_dict, _graph = await megaservice.schedule({"input": "Ciao!"})
    assert result_dict == {"tts/MicroService": b"RIFF....WAVE"}


async def test_context_is_handed_on(scripted_upstream: UpstreamFactory) -> None:
    """The request's id, and the time that it has left."""
    llm = await scripted_upstream(completion("Ciao!"))
    megaservice = flow(ServiceOrchestrator(), remote("llm", llm, CHAT_PATH))
    context = CallContext("req_mine", deadline=None)
    await megaservice.schedule({"messages": MESSAGES, "stream": False}, context=context)
    assert llm.requests[0].headers["x-request-id"] == "req_mine"


async def test_deadline_ends_a_run_that_waits(scripted_upstream: UpstreamFactory) -> None:
    """What is left travels as a header; when nothing is, the answer is a 504."""
    llm = await scripted_upstream(silence())
    megaservice = flow(ServiceOrchestrator(), remote("llm", llm, CHAT_PATH))
    context = CallContext("req_mine", deadline=time.monotonic() + 1.0)
    with pytest.raises(ScheduleError) as caught:
        await megaservice.schedule({"messages": MESSAGES}, context=context)
    assert caught.value.status_code == 504
    assert 0 < int(llm.requests[0].headers["x-request-timeout-ms"]) <= 1000
    assert await pending_requests_settle()


async def test_caller_that_is_cancelled_again_and_again_leaves_nothing(scripted_upstream: UpstreamFactory) -> None:
    """As Starlette's middlewares cancel a handler whose client has left."""
    llm = await scripted_upstream(silence())
    megaservice = flow(ServiceOrchestrator(), remote("llm", llm, CHAT_PATH))
    for count, parameters in enumerate((LLMParams(), LLMParams(stream=False)), start=1):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(megaservice.schedule, {"messages": MESSAGES}, parameters)
            await llm.wait_for_requests(count)
            tasks.cancel_scope.cancel()
    await llm.wait_until_idle()
    assert len(llm.requests) == 2
    assert await pending_requests_settle()


async def test_requests_share_connections_until_the_orchestrator_is_closed(scripted_upstream: UpstreamFactory) -> None:
    """One pool, made at first use; `close` can be called twice, and the orchestrator used again."""
    llm = await scripted_upstream(completion("Ciao!"))
    megaservice = flow(ServiceOrchestrator(), remote("llm", llm, CHAT_PATH))
    for _ in range(3):
        await megaservice.schedule({"messages": MESSAGES, "stream": False})
    assert llm.connection_count == 1
    await megaservice.close()
    await megaservice.close()
    await megaservice.schedule({"messages": MESSAGES, "stream": False})
    assert llm.connection_count == 2


class ExampleService:
    """A megaservice in the shape of OPEA's tutorials, its route on a FastAPI application."""

    def __init__(self, llm: MicroService) -> None:
        self.megaservice = ServiceOrchestrator()
        self.app = FastAPI()
        self.add_remote_service(llm)
        self.app.post("/v1/example-service", response_model=None)(self.handle_request)

    def add_remote_service(self, llm: MicroService) -> None:
        """Register what the megaservice calls."""
        self.megaservice.add(llm)

    async def handle_request(self, request: Request) -> Response | dict[str, Any]:
        """Answer as the tutorials do: the first stream there is, else the last node's output."""
        data = await request.json()
        parameters = LLMParams(max_tokens=data.get("max_tokens", 64), stream=data.get("stream", True))
        result_dict, graph = await self.megaservice.schedule({"messages": data["messages"]}, parameters)
        for response in result_dict.values():
            if isinstance(response, Response):
                return response
        output: dict[str, Any] = result_dict[graph.all_leaves()[-1]]
        return {"text": output["choices"][0]["message"]["content"]}


async def _post(url: str, **body: Any) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.post(f"{url}/v1/example-service", json={"messages": MESSAGES, **body})


async def test_example_service_streams_and_answers_json(scripted_upstream: UpstreamFactory) -> None:
    """Stock FastAPI around our orchestrator."""
    llm = await scripted_upstream(openai_stream(["Ciao", "!"]), completion("Salve!"))
    async with serving(ExampleService(remote("llm", llm, CHAT_PATH)).app) as url:
        streamed = await _post(url)
        whole = await _post(url, stream=False)
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert text_of_chunks(streamed.content) == "Ciao!"
    assert streamed.content.endswith(DONE)
    assert whole.json() == {"text": "Salve!"}


@pytest.mark.parametrize("stream", [True, False])
async def test_example_service_answers_an_upstreams_failure_with_its_status(
    scripted_upstream: UpstreamFactory, *, stream: bool
) -> None:
    """Stock's rows "upstream 500": 200 with nothing in it, or the error as if it were data."""
    llm = await scripted_upstream(openai_error(500, "out of memory"), openai_error(429, headers={"retry-after": "7"}))
    async with serving(ExampleService(remote("llm", llm, CHAT_PATH)).app) as url:
        broken = await _post(url, stream=stream)
        limited = await _post(url, stream=stream)
    assert broken.status_code == 502
    assert "node 'llm'" in broken.json()["detail"]["message"]
    assert "out of memory" in broken.json()["detail"]["message"]
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "7")
    assert await pending_requests_settle()


async def test_example_service_client_that_leaves_cancels_the_upstream(scripted_upstream: UpstreamFactory) -> None:
    """Also with Starlette's response around the stream."""
    llm = await scripted_upstream(openai_stream(["Ciao"] * 500, gap_seconds=0.01))
    async with serving(ExampleService(remote("llm", llm, CHAT_PATH)).app) as url:
        async with (
            httpx.AsyncClient(trust_env=False) as client,
            client.stream("POST", f"{url}/v1/example-service", json={"messages": MESSAGES}) as response,
        ):
            await anext(response.aiter_bytes())
        await llm.wait_until_idle()
        assert await pending_requests_settle()
    assert llm.requests[0].client_left_at is not None


async def test_upstream_that_always_streams_answers_json_mode(scripted_upstream: UpstreamFactory) -> None:
    """Some of OPEA's services ignore `stream`; the answer is put together."""
    llm = await scripted_upstream(tokens("Ciao", "!"))
    megaservice = flow(ServiceOrchestrator(), remote("llm", llm, "/v1/generate"))
    result_dict, _graph = await megaservice.schedule({"query": "Hello!"}, LLMParams(stream=False))
    assert result_dict == {LLM: {"text": "Ciao!"}}


async def test_megaservice_without_services_has_no_results() -> None:
    """Nothing to run is no failure."""
    result_dict, graph = await ServiceOrchestrator().schedule({"text": "x"})
    assert (result_dict, graph.all_leaves()) == ({}, [])


async def test_schedule_error_is_an_http_exception(refused_url: str) -> None:
    """Its status and detail are what stock FastAPI answers."""
    port = int(refused_url.rsplit(":", 1)[1])
    service = MicroService(name="llm", host="127.0.0.1", port=port, endpoint=CHAT_PATH, use_remote_service=True)
    with pytest.raises(ScheduleError) as caught:
        await flow(ServiceOrchestrator(), service).schedule({"messages": MESSAGES})
    assert caught.value.status_code == 502
    assert "node 'llm'" in str(caught.value.detail)
    assert await pending_requests_settle()
