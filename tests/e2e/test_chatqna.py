"""The pipeline chatqna end to end: the file as it is, real embeddings, the real retriever, and a scripted LLM behind.

The LLM microservice serves the phrasebook for embeddings, and for answers a scripted OpenAI-compatible server.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml
from openai import OpenAI

from servicekit.environment import PROJECT_ROOT
from tests.support import scripts
from tests.support.gateway import StreamedAnswer, running_gateway
from tests.support.network import find_free_port
from tests.support.processes import ServiceProcess, running_service
from tests.support.retriever import retriever_with
from tests.support.scripted_upstream import Reply, ScriptedUpstream

CHATQNA, CHAT = "/v1/chatqna", "/v1/chat/completions"
FILE = yaml.safe_load((PROJECT_ROOT / "compose" / "pipelines" / "chatqna.yaml").read_text("utf-8"))
QUESTION = "What is a megaservice?"
OUTSIDE = "This text is outside my small English-Italian phrasebook; for a real model, name one in compose/models.json."


@dataclass(frozen=True)
class _Services:
    llm: ServiceProcess
    retriever: ServiceProcess
    gateway: ServiceProcess
    upstream_port: int


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Services]:
    """Run LLM, retriever and gateway; the model `scripted` is at a port where each test puts its own upstream."""
    folder, port = tmp_path_factory.mktemp("chatqna"), find_free_port()
    aliases = {
        "phrasebook": {"provider": "embedded", "model": "phrasebook"},
        "scripted": {"provider": "openai_compatible", "model": "m", "base_url": f"http://127.0.0.1:{port}/v1"},
    }
    models = folder / "models.json"
    models.write_text(json.dumps({"default": "phrasebook", "aliases": aliases}))
    variables = {"MODELS_FILE": str(models), "PING_PROVIDERS": "false"}  # `scripted` is not there yet
    with ExitStack() as stack:

        def run(module: str, variable: str, ready_path: str = "/ready") -> ServiceProcess:
            service = stack.enter_context(
                running_service(
                    module, port_variable=variable, log_folder=folder, environment=variables, ready_path=ready_path
                )
            )
            variables[variable] = str(service.port)
            return service

        llm = run("microservices.llm", "LLM_SERVICE_PORT", "/health")
        retriever = run("microservices.retriever", "RETRIEVER_SERVICE_PORT")
        yield _Services(llm, retriever, run("megaservice", "MEGA_SERVICE_PORT", "/health"), port)


@pytest_asyncio.fixture
async def upstream(services: _Services) -> AsyncIterator[ScriptedUpstream]:
    """Give the scripted model: JSON or a stream, the same answer."""

    async def answer(reply: Reply) -> None:
        texts = ["A megaservice is ", "several microservices [1]."]
        script = (
            scripts.openai_stream(texts) if reply.request.json.get("stream") else scripts.completion("".join(texts))
        )
        await script(reply)

    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(ScriptedUpstream(answer, port=services.upstream_port))


async def _post(url: str, body: dict[str, Any]) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=40) as client:
        return await client.post(url, json=body)


def _sources(answer: dict[str, Any]) -> list[str]:
    return [document["id"] for document in answer["sources"]["documents"]]


async def test_chatqna_answers_from_the_documents_that_it_found(
    services: _Services, upstream: ScriptedUpstream
) -> None:
    """As OPEA's users type it; the model gets the numbered documents, the answer carries them."""
    response = await _post(services.gateway.url + CHATQNA, {"messages": QUESTION, "model": "scripted"})
    answer = response.json()
    assert response.status_code == 200, response.text
    assert answer["choices"][0]["message"]["content"] == "A megaservice is several microservices [1]."
    assert answer["retrieval"] == {"mode": "hybrid", "notice": None}
    assert _sources(answer)[0] == "megaservice.md#1"
    assert len(_sources(answer)) == 3
    system, user = upstream.requests[-1].json["messages"]
    texts = [document["text"] for document in answer["sources"]["documents"]]
    assert [text for number, text in enumerate(texts, 1) if f"[{number}] {text}" not in system["content"]] == []
    assert user == {"role": "user", "content": QUESTION}


async def test_chatqna_streams_and_keeps_the_conversation(services: _Services, upstream: ScriptedUpstream) -> None:
    """The sources come in the last chunk; what was said before goes to the model, the caller's system message, too."""
    conversation = [
        {"role": "system", "content": "Answer in one sentence."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "Which port does the retriever have?"},
    ]
    body = {"messages": conversation, "model": "scripted", "stream": True, "temperature": 0.3}
    response = await _post(services.gateway.url + CHATQNA, body)
    stream = StreamedAnswer(response.status_code, response.headers, response.content)
    assert stream.ended_well
    assert stream.text == "A megaservice is several microservices [1]."
    assert stream.chunks[-1]["choices"] == []
    assert "services-and-ports.md#1" in _sources(stream.chunks[-1])
    sent = upstream.requests[-1].json
    assert [message["role"] for message in sent["messages"]] == ["system", "user", "assistant", "user"]
    assert sent["messages"][0]["content"].endswith("Answer in one sentence.")
    assert "port 7000" in sent["messages"][0]["content"]
    assert sent["temperature"] == 0.3


async def test_chatqna_is_a_model_for_openais_sdk(services: _Services) -> None:
    """By its name; the phrasebook, which is the default, says that it does not know, and is marked."""

    def ask() -> Any:  # noqa: ANN401 - the SDK's object, of which extra fields are read
        with OpenAI(base_url=services.gateway.url + "/v1", api_key="any", max_retries=0) as client:
            assert "chatqna" in [model.id for model in client.models.list()]
            return client.chat.completions.create(model="chatqna", messages=[{"role": "user", "content": QUESTION}])

    answer = await asyncio.to_thread(ask)
    assert answer.choices[0].message.content == OUTSIDE
    assert (answer.model, answer.notice["code"]) == ("phrasebook", "out_of_domain")
    assert answer.sources["documents"][0]["id"] == "megaservice.md#1"


async def test_chatqna_answers_from_a_document_that_was_just_ingested(
    services: _Services, upstream: ScriptedUpstream
) -> None:
    """No restart between a file and its answer."""
    text = "# Quokkas\n\nThe quokka lives on Rottnest Island."
    ingest = await _post(services.retriever.url + "/v1/dataprep/ingest", {"text": text, "name": "quokkas.md"})
    assert ingest.status_code == 200
    answer = await _post(services.gateway.url + CHATQNA, {"messages": "Where do quokkas live?", "model": "scripted"})
    assert _sources(answer.json())[0] == "quokkas.md#1"
    assert text in upstream.requests[-1].json["messages"][0]["content"]


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_chatqna_names_the_retriever_when_it_is_down(
    stream: bool, services: _Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 502 before anything was written: an answer without documents would be made up."""
    monkeypatch.setenv("RETRIEVER_SERVICE_PORT", str(find_free_port()))
    monkeypatch.setenv("LLM_SERVICE_PORT", str(services.llm.port))
    async with running_gateway(tmp_path, llm_url=services.llm.url, files=[FILE]) as url:
        response = await _post(url + CHATQNA, {"messages": QUESTION, "stream": stream})
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (502, "upstream_unreachable")
    assert error["message"].startswith("node 'retriever' at http://127.0.0.1:")


async def test_chatqna_names_the_llm_when_its_upstream_is_down(services: _Services) -> None:
    """Documents were found, but nobody can read them."""
    response = await _post(services.gateway.url + CHATQNA, {"messages": QUESTION, "model": "scripted"})
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (502, "upstream_error")
    assert error["message"].startswith("node 'llm' at http://127.0.0.1:")
    assert f"http://127.0.0.1:{services.upstream_port}/v1/chat/completions cannot be reached" in error["message"]


async def test_chatqna_goes_by_words_when_there_are_no_embeddings(
    upstream: ScriptedUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model without embeddings: full text alone finds the documents, and the answer says so."""
    documents = PROJECT_ROOT / "compose" / "documents"
    # The scripted upstream answers every path with a chat completion, which is no list of embeddings.
    async with retriever_with(documents, upstream.url + "/v1/embeddings") as retriever:
        monkeypatch.setenv("RETRIEVER_SERVICE_PORT", str(retriever.base_url.port))
        monkeypatch.setenv("LLM_SERVICE_PORT", str(upstream.port))
        async with running_gateway(tmp_path, llm_url=upstream.url, files=[FILE]) as url:
            response = await _post(url + CHATQNA, {"messages": QUESTION})
    answer = response.json()
    assert response.status_code == 200, response.text
    assert answer["choices"][0]["message"]["content"] == "A megaservice is several microservices [1]."
    assert answer["retrieval"]["mode"] == "full_text"
    assert answer["retrieval"]["notice"]["message"].startswith("Found by full text alone: the embeddings service at ")
    assert _sources(answer)[0] == "megaservice.md#1"


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/retrieval", "/v1/reranking"])
async def test_chatqna_survives_a_service_that_fails_or_names_it(
    path: str, upstream: ScriptedUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each in turn answers 500. The embedding is soft, the other two are not."""

    async def failing(reply: Reply) -> None:
        is_down = reply.request.path == path
        passage = {"id": "a.md#1", "text": "A megaservice."}
        document = {"retrieved_docs": [passage], "reranked_docs": [passage], "data": [{"embedding": [1.0]}]}
        await (scripts.openai_error(500) if is_down else scripts.answer(200, document))(reply)

    async with ScriptedUpstream(failing) as others:
        monkeypatch.setenv("RETRIEVER_SERVICE_PORT", str(others.port))
        monkeypatch.setenv("LLM_SERVICE_PORT", str(upstream.port))
        document = copy.deepcopy(FILE)
        document["opea_micro_services"]["embedding"]["endpoint"] = others.url + "/v1/embeddings"
        async with running_gateway(tmp_path, llm_url=upstream.url, files=[document]) as url:
            response = await _post(url + CHATQNA, {"messages": QUESTION})
    if path == "/v1/embeddings":
        assert (response.status_code, _sources(response.json())) == (200, ["a.md#1"])
        sent = next(request.json for request in others.requests if request.path == "/v1/retrieval")
        assert sent == {"k": 8, "text": QUESTION, "embedding": None, "model": None}
        return
    node = "retriever" if path == "/v1/retrieval" else "rerank"
    assert response.status_code == 502
    message = response.json()["error"]["message"]
    assert message.startswith(f"node '{node}' at http://127.0.0.1:")
    assert message.endswith(f"{path} answered 500: it broke")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "messages"),
        ({"messages": ""}, "messages"),
        ({"messages": "   "}, "text"),
        ({"messages": [{"role": "system", "content": "x"}]}, "text"),
        ({"messages": QUESTION, "model": "nobody"}, "nobody"),
    ],
    ids=["nothing", "empty", "blank", "no-question", "unknown-model"],
)
async def test_chatqna_refuses_garbage(body: dict[str, Any], words: str, services: _Services) -> None:
    """A 400 that says what is missing."""
    response = await _post(services.gateway.url + CHATQNA, body)
    assert response.status_code == 400
    assert words in response.json()["error"]["message"]
