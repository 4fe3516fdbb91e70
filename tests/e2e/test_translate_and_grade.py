"""The main job end to end: LLM, grader and gateway as three real processes, on the real model."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.gateway import CHAT, GRADED, StreamedAnswer
from tests.support.network import find_free_port
from tests.support.processes import ServiceProcess, running_service, start_process

PASS_SCORE = 0.7
SENTENCES = {
    "Hello, how are you?": "Ciao! Come stai?",
    "Hello, this is a test message": "Ciao, questo è un messaggio di prova",
    "Why is the sky blue?": "Perché il cielo è blu?",
    "Tell me a joke": "Raccontami una barzelletta",
    "What is the capital of France?": "Qual è la capitale della Francia?",
    "Good morning, where is the train station?": "Buongiorno, dov'è la stazione?",
}
EACH_SENTENCE = pytest.mark.parametrize("sentence", SENTENCES)


class _Trio(NamedTuple):
    llm: ServiceProcess
    grader: ServiceProcess
    gateway: ServiceProcess
    #: Another pipeline's, without which no gateway is ready.
    retriever: ServiceProcess


def _gateway_environment(llm_port: int, grader_port: int, retriever: ServiceProcess) -> dict[str, str]:
    ports = {"LLM": llm_port, "GRADER": grader_port, "RETRIEVER": retriever.port}
    return {f"{name}_SERVICE_PORT": str(port) for name, port in ports.items()}


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Trio]:
    """Run the three services for the tests of this file."""
    folder = tmp_path_factory.mktemp("trio")
    with ExitStack() as stack:
        llm = stack.enter_context(
            running_service("microservices.llm", port_variable="LLM_SERVICE_PORT", log_folder=folder)
        )
        grader = stack.enter_context(
            running_service("microservices.grader", port_variable="GRADER_SERVICE_PORT", log_folder=folder)
        )
        retriever = stack.enter_context(
            running_service("microservices.retriever", port_variable="RETRIEVER_SERVICE_PORT", log_folder=folder)
        )
        gateway = stack.enter_context(
            running_service(
                "megaservice",
                port_variable="MEGA_SERVICE_PORT",
                log_folder=folder,
                environment=_gateway_environment(llm.port, grader.port, retriever),
            )
        )
        yield _Trio(llm, grader, gateway, retriever)


def _ask(url: str, text: object, **more: Any) -> httpx.Response:
    body = {"model": "llama3.2:1b", "messages": [{"role": "user", "content": text}], **more}
    return httpx.post(url, json=body, trust_env=False, timeout=30)


def _ask_stream(url: str, text: str, **more: Any) -> StreamedAnswer:
    response = _ask(url, text, stream=True, **more)
    return StreamedAnswer(response.status_code, response.headers, response.content)


def _text(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    text: str = response.json()["choices"][0]["message"]["content"]
    return text


# ------------------------------------------------------------------------------------------------ the good answers


@EACH_SENTENCE
def test_translate_answers_the_sentence_with_its_grade(sentence: str, trio: _Trio) -> None:
    """The translation of the documentation, real token counts, a good grade, and the model that answered."""
    response = _ask(trio.gateway.url + GRADED, sentence)
    answer = response.json()
    assert _text(response) == SENTENCES[sentence]
    assert (answer["object"], answer["model"]) == ("chat.completion", "phrasebook")
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["grade"]["score"] >= PASS_SCORE
    assert answer["grade"]["feedback"]
    usage = answer["usage"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"]
    assert min(usage["prompt_tokens"], usage["completion_tokens"]) > 0


@EACH_SENTENCE
def test_translate_streams_the_same_text_and_grade(sentence: str, trio: _Trio) -> None:
    """At temperature 0 a stream says what JSON says, token by token; the grade is in the last chunk before [DONE]."""
    whole = _ask(trio.gateway.url + GRADED, sentence).json()
    stream = _ask_stream(trio.gateway.url + GRADED, sentence, stream_options={"include_usage": True})
    assert (stream.status, stream.ended_well) == (200, True)
    assert stream.text == whole["choices"][0]["message"]["content"]
    assert len([chunk for chunk in stream.chunks if chunk["choices"]]) > 2
    assert stream.chunks[-1]["choices"] == []
    assert stream.chunks[-1]["grade"] == whole["grade"]
    counts = ("prompt_tokens", "completion_tokens", "total_tokens")
    assert [stream.chunks[-1]["usage"][name] for name in counts] == [whole["usage"][name] for name in counts]
    assert {chunk["model"] for chunk in stream.chunks} == {"phrasebook"}


def test_translate_works_on_the_last_user_message_alone(trio: _Trio) -> None:
    """A conversation's earlier turns do not change a translation."""
    messages = [
        {"role": "user", "content": "Tell me a joke"},
        {"role": "assistant", "content": "Raccontami una barzelletta"},
        {"role": "user", "content": "Hello, how are you?"},
    ]
    body = {"messages": messages, "model": "phrasebook"}
    response = httpx.post(trio.gateway.url + GRADED, json=body, trust_env=False, timeout=30)
    assert _text(response) == "Ciao! Come stai?"


@pytest.mark.parametrize("path", [CHAT, "/v1/example-service"])
def test_chat_answers_without_a_grade(path: str, trio: _Trio) -> None:
    """The chat pipeline is the LLM alone; `messages` may be a string, `model` may be absent."""
    body = {"messages": "Hello, how are you?", "temperature": 0}
    response = httpx.post(trio.gateway.url + path, json=body, trust_env=False, timeout=30)
    assert _text(response)
    assert "grade" not in response.json()


def test_chat_stops_at_max_tokens(trio: _Trio) -> None:
    """Sampling parameters reach the model."""
    response = _ask(trio.gateway.url + CHAT, "Good morning, where is the train station?", max_tokens=1)
    assert response.json()["choices"][0]["finish_reason"] == "length"
    assert response.json()["usage"]["completion_tokens"] == 1


# ------------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("path", [CHAT, GRADED])
def test_unknown_model_is_a_400_that_names_the_models(path: str, stream: bool, trio: _Trio) -> None:
    """`test-model` is in many tutorials; the message says what there is."""
    response = _ask(trio.gateway.url + path, "Hello, how are you?", model="test-model", stream=stream)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "model_not_found", "model")
    for name in ("test-model", "phrasebook", "llama3.2:1b"):
        assert name in error["message"]


@pytest.mark.parametrize(("body", "place"), [(b'{"messages": [', "line 1"), (b"{}", "messages")])
def test_bad_body_is_a_400_with_the_place(body: bytes, place: str, trio: _Trio) -> None:
    """Malformed JSON and missing messages."""
    response = httpx.post(trio.gateway.url + GRADED, content=body, trust_env=False, timeout=30)
    assert response.status_code == 400
    assert place in response.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_grader_that_is_down_leaves_the_translation(stream: bool, trio: _Trio, tmp_path: Path) -> None:
    """The gateway is ready without its soft node; the grade is null and names the node."""
    environment = _gateway_environment(trio.llm.port, find_free_port(), trio.retriever)
    with running_service(
        "megaservice", port_variable="MEGA_SERVICE_PORT", log_folder=tmp_path, environment=environment
    ) as gateway:
        if stream:
            streamed = _ask_stream(gateway.url + GRADED, "Hello, how are you?")
            assert streamed.ended_well
            text, grade = streamed.text, streamed.chunks[-1]["grade"]
        else:
            response = _ask(gateway.url + GRADED, "Hello, how are you?")
            text, grade = _text(response), response.json()["grade"]
    assert text == "Ciao! Come stai?"
    assert grade["score"] is None
    assert grade["error"] == {"code": "upstream_unreachable"}
    assert "node 'grader'" in grade["feedback"]


def test_llm_that_is_down_is_a_502_that_names_it(trio: _Trio, tmp_path: Path) -> None:
    """JSON and stream alike; the gateway lives and says that it is not ready."""
    environment = _gateway_environment(find_free_port(), trio.grader.port, trio.retriever)
    with running_service(
        "megaservice",
        port_variable="MEGA_SERVICE_PORT",
        log_folder=tmp_path,
        environment=environment,
        ready_path="/health",
    ) as gateway:
        responses = [_ask(gateway.url + GRADED, "Hello, how are you?", stream=stream) for stream in (False, True)]
        ready = httpx.get(gateway.url + "/ready", trust_env=False, timeout=30)
        log = gateway.log
    for response in responses:
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (502, "upstream_unreachable")
        assert "node 'llm' at http://127.0.0.1:" in error["message"]
        assert response.headers["x-request-id"] in log
    assert ready.status_code == 503
    assert "the service of nodes 'llm', " in ready.text


# --------------------------------------------------------------------------------------- configuration and the end


def test_edited_pipeline_shows_after_a_restart(trio: _Trio, tmp_path: Path) -> None:
    """Another prompt, another endpoint, no grader: the file is the configuration."""
    (tmp_path / "mine.yaml").write_text(
        f"""
opea_micro_services:
  llm:
    endpoint: {trio.llm.url}/v1/chat/completions
    model: phrasebook
    prompt: {{system: "Translate the user's message from English into Italian.", history: last_user_message}}
opea_mega_service:
  endpoints: [/v1/mine]
  mega_flow: [llm]
""",
        encoding="utf-8",
    )
    with running_service(
        "megaservice",
        port_variable="MEGA_SERVICE_PORT",
        log_folder=tmp_path,
        environment={"PIPELINES_DIR": str(tmp_path)},
    ) as gateway:
        mine = _ask(gateway.url + "/v1/mine", "Hello, how are you?", model="ignored")
        gone = _ask(gateway.url + GRADED, "Hello, how are you?")
    assert _text(mine)
    assert "grade" not in mine.json()
    assert gone.status_code == 404


def test_broken_pipeline_file_stops_the_start_with_every_problem(tmp_path: Path) -> None:
    """Exit code 2, which no supervisor restarts; file, line, column and remedy on standard error."""
    text = "opea_micro_services:\n  llm: {endpont: http://a:1/}\nopea_mega_service:\n  mega_flow: [lm]\n"
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    environment = {"PIPELINES_DIR": str(tmp_path), "MEGA_SERVICE_PORT": str(find_free_port())}
    process = start_process("-m", "megaservice", log_path=tmp_path / "log", environment=environment)
    assert process.wait() == 2
    for words in ("mine.yaml:2:9: the key 'endpont' is not known here. Did you mean 'endpoint'?", "mine.yaml:4:15:"):
        assert words in process.log
    assert "Traceback" not in process.log


async def test_sigterm_lets_a_running_stream_end_and_exits_0(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """A gateway that is told to stop takes nothing new, finishes what runs, and leaves quietly."""
    texts = [f"{number} " for number in range(20)]
    llm = await scripted_upstream(scripts.openai_stream(texts, gap_seconds=0.05))
    port = find_free_port()
    environment = {"LLM_SERVICE_PORT": str(llm.port), "MEGA_SERVICE_PORT": str(port)}
    log_path = tmp_path / "log"
    gateway = start_process("-m", "megaservice", log_path=log_path, port=port, environment=environment)
    try:
        await asyncio.to_thread(gateway.wait_until_ready, "/health")
        body = {"messages": "Hello", "stream": True}
        received = bytearray()
        async with (
            httpx.AsyncClient(trust_env=False, timeout=30) as client,
            client.stream("POST", gateway.url + CHAT, json=body) as response,
        ):
            async for part in response.aiter_raw():
                if not received:
                    gateway.signal(signal.SIGTERM)
                received += part
        answer = StreamedAnswer(response.status_code, response.headers, bytes(received))
        assert answer.text == "".join(texts)
        assert answer.ended_well
        assert await asyncio.to_thread(gateway.wait) == 0
    finally:
        await asyncio.to_thread(gateway.stop)
    assert "Traceback" not in gateway.log
