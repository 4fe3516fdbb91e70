"""The LLM microservice as a real process, with the real llama.cpp and the phrasebook."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import orjson
import pytest
from ollama import Client

from tests.support.network import find_free_port
from tests.support.openai_http import CHAT, ask
from tests.support.processes import ServiceProcess, running_service

SENTENCES = [
    "Hello, how are you?",
    "Hello, this is a test message",
    "Why is the sky blue?",
    "Tell me a joke",
    "What is the capital of France?",
    "Good morning, where is the train station?",
]
#: The system message of the phrasebook's grading prompt.
GRADING = {
    "role": "system",
    "content": "Grade the Italian translation of the English source. Reply with JSON: a score from 0 to 1 and a short "
    "feedback.",
}
OUTSIDE = "The quarterly amortisation schedule contradicts Kant's categorical imperative."


@pytest.fixture(scope="module")
def second_port() -> int:
    """Give a port for LLM_ENDPOINT_PORT."""
    return find_free_port()


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory, second_port: int) -> Iterator[ServiceProcess]:
    """Give a service with the models of the checkout."""
    folder = tmp_path_factory.mktemp("llm")
    variables = {"LLM_ENDPOINT_PORT": str(second_port)}
    with running_service(
        "microservices.llm", port_variable="LLM_SERVICE_PORT", log_folder=folder, environment=variables
    ) as service:
        yield service


@pytest.mark.parametrize("sentence", SENTENCES)
def test_stream_text_equals_json_text(llm: ServiceProcess, sentence: str) -> None:
    """At temperature 0 both ways give the same text and the same true counts."""
    answer = ask(llm.url, sentence)
    streamed = ask(llm.url, sentence, stream=True)
    assert (answer.status, streamed.status, streamed.ended_well) == (200, 200, True)
    assert answer.text
    assert streamed.text == answer.text
    assert answer.usage is not None
    assert streamed.usage is not None
    for count in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert streamed.usage[count] == answer.usage[count] > 0


def test_hello_is_translated(llm: ServiceProcess) -> None:
    """The sentence of the README, by real inference."""
    answer = ask(llm.url, "Hello, how are you?", model="llama3.2:1b")
    assert answer.text.startswith("Ciao")
    assert answer.document["model"] == "phrasebook"
    assert answer.document["choices"][0]["finish_reason"] == "stop"


def test_embeddings_of_another_size_than_the_phrasebook_s_are_refused(llm: ServiceProcess) -> None:
    """llama.cpp leaves `dimensions` out, and the beginning of such a vector says little."""
    (item,) = httpx.post(f"{llm.url}/v1/embeddings", json={"input": "Hello"}).json()["data"]
    size = len(item["embedding"])
    same = httpx.post(f"{llm.url}/v1/embeddings", json={"input": "Hello", "dimensions": size})
    assert same.json()["data"] == [item]
    for encoding in ("float", "base64"):
        asked = {"input": ["Hello", "Bye"], "dimensions": 8, "encoding_format": encoding}
        response = httpx.post(f"{llm.url}/v1/embeddings", json=asked)
        assert (response.status_code, response.json()["error"]["param"]) == (400, "dimensions")
        assert f"expected {size}, the size of the vectors of model 'phrasebook'" in response.text


def test_text_outside_the_phrasebook_is_marked(llm: ServiceProcess) -> None:
    """The model's marker becomes a field and a header, in JSON and in the stream's first chunk."""
    for stream in (False, True):
        answer = ask(llm.url, OUTSIDE, stream=stream)
        assert "<|" not in answer.text
        assert answer.text
        assert answer.document["notice"]["code"] == "out_of_domain"
        assert answer.headers["x-model-notice"] == "out_of_domain"


def test_answer_without_a_system_message_says_that_it_only_translates(llm: ServiceProcess) -> None:
    """And says nothing of the kind to who gave the task."""
    plain = ask(llm.url, SENTENCES[0])
    system = {"role": "system", "content": "Translate the following text from English to Italian."}
    told = ask(llm.url, [system, {"role": "user", "content": SENTENCES[0]}])
    assert plain.headers["x-model-notice"] == plain.document["notice"]["code"] == "translation_only"
    assert "notice" not in told.document


def test_json_schema_binds_the_answer(llm: ServiceProcess) -> None:
    """`response_format` reaches llama.cpp, which can then write nothing but that."""
    schema = {
        "type": "object",
        "properties": {"score": {"enum": [0, 1]}},
        "required": ["score"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "grade", "schema": schema}}
    answer = ask(llm.url, [GRADING, {"role": "user", "content": SENTENCES[0]}], response_format=wanted)
    assert orjson.loads(answer.text)["score"] in (0, 1)


def test_json_of_a_model_that_cannot_write_it_is_refused(llm: ServiceProcess) -> None:
    """Bound to JSON without its grading prompt, the phrasebook would grade what nobody translated."""
    for stream in (False, True):
        fields = {"messages": "Good morning", "response_format": {"type": "json_object"}, "stream": stream}
        response = httpx.post(llm.url + CHAT, json=fields, timeout=30, trust_env=False)
        error = response.json()["error"]
        assert (response.status_code, error["param"]) == (400, "response_format")
        assert "writes JSON for grading only" in error["message"]
    asked = {"model": "phrasebook", "messages": [{"role": "user", "content": "Good morning"}], "format": "json"}
    response = httpx.post(llm.url + "/api/chat", json=asked, timeout=30, trust_env=False)
    assert (response.status_code, response.json()) == (400, {"error": error["message"]})


def test_alias_is_answered_by_the_phrasebook_and_logged_once(llm: ServiceProcess) -> None:
    """The log says who answers for `llama3.2:1b`, once."""
    for _ in range(2):
        ask(llm.url, SENTENCES[0], model="llama3.2:1b")
    line = "model 'llama3.2:1b' is answered by 'phrasebook' (alias in compose/models.json)"
    assert llm.log.count(line) == 1


def test_unknown_model_names_the_models_there_are(llm: ServiceProcess) -> None:
    """`test-model` of many tutorials."""
    answer = ask(llm.url, "Hello", model="test-model")
    error = answer.document["error"]
    assert (answer.status, error["code"]) == (400, "model_not_found")
    assert "phrasebook, llama3.2:1b" in error["message"]


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"messages": "x " * 5000}, "context_length_exceeded", "exceeds the available context size"),
        ({"messages": "x", "n": 16}, "invalid_value", "'n'"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}]}
                ]
            },
            "invalid_value",
            "image input is not supported",
        ),
        (
            {
                "messages": [GRADING, {"role": "user", "content": "x"}],
                "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "foo"}}},
            },
            "invalid_value",
            "foo",
        ),
    ],
    ids=["context", "n", "image", "schema"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_request_that_llama_cpp_cannot_serve_is_a_400(
    llm: ServiceProcess, fields: dict[str, object], code: str, words: str, stream: bool
) -> None:
    """In its own words, and with a status also where a stream was asked for."""
    response = httpx.post(llm.url + CHAT, json={**fields, "stream": stream}, timeout=30, trust_env=False)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, code)
    assert words in error["message"]


def test_malformed_body_is_a_400_with_the_place(llm: ServiceProcess) -> None:
    """Line and column."""
    response = httpx.post(llm.url + CHAT, content=b'{"messages": "Hello"', timeout=30, trust_env=False)
    assert response.status_code == 400
    assert "line 1, column 21" in response.json()["error"]["message"]


def test_second_port_answers_too(llm: ServiceProcess, second_port: int) -> None:
    """LLM_ENDPOINT_PORT is the same service."""
    assert ask(f"http://127.0.0.1:{second_port}", SENTENCES[0]).text == ask(llm.url, SENTENCES[0]).text


def test_many_requests_at_once_are_all_answered_alike(llm: ServiceProcess) -> None:
    """More than there are slots: they wait their turn, and none gets another's text."""
    expected = {sentence: ask(llm.url, sentence).text for sentence in SENTENCES}

    async def ask_all() -> list[tuple[str, str]]:
        async with httpx.AsyncClient(base_url=llm.url, timeout=50, trust_env=False) as client:

            async def one(sentence: str) -> tuple[str, str]:
                response = await client.post(CHAT, json={"messages": sentence, "temperature": 0})
                return sentence, response.json()["choices"][0]["message"]["content"]

            return await asyncio.gather(*(one(sentence) for sentence in SENTENCES * 20))

    answers = asyncio.run(ask_all())
    assert all(expected[sentence] == text for sentence, text in answers)


def test_embeddings_and_completions_come_from_the_embedded_model(llm: ServiceProcess) -> None:
    """llama.cpp answers both beside the chat; a text that is too long is the caller's to shorten."""
    texts = ["Hello", "Hello", "Where is the train station?"]
    answer = httpx.post(f"{llm.url}/v1/embeddings", json={"input": texts}, trust_env=False).json()
    vectors = [item["embedding"] for item in answer["data"]]
    assert answer["model"] == "phrasebook"
    assert vectors[0] == pytest.approx(vectors[1], abs=1e-3)
    assert vectors[0] != pytest.approx(vectors[2], abs=1e-3)
    long = httpx.post(f"{llm.url}/v1/embeddings", json={"input": "hello " * 3000}, trust_env=False)
    assert (long.status_code, long.json()["error"]["code"]) == (400, "context_length_exceeded")
    asked = {"prompt": "Hello", "max_tokens": 3, "temperature": 0}
    completion = httpx.post(f"{llm.url}/v1/completions", json=asked, trust_env=False).json()
    assert (completion["object"], completion["model"]) == ("text_completion", "phrasebook")
    assert completion["usage"]["completion_tokens"] <= 3


def test_ollamas_client_works_with_the_embedded_model(llm: ServiceProcess) -> None:
    """Pull, list, ps, chat, generate and embed, as the tutorials do them."""
    name = "llama3.2:1b"
    with Client(host=llm.url, trust_env=False) as client:
        assert client.pull(name).status == "success"
        assert [part.status for part in client.pull(name, stream=True)] == ["success"]
        names = [model.model for model in client.list().models]
        assert names == ["phrasebook", name]
        assert {model.model for model in client.ps().models} == set(names)
        cold = {"temperature": 0}
        chat = client.chat(name, [{"role": "user", "content": "Hello, how are you?"}], options=cold)
        parts = client.generate(name, "Hello, how are you?", options=cold, stream=True)
        assert chat.message.content == "".join(part.response or "" for part in parts) == "Ciao! Come stai?"
        assert chat.eval_count
        assert len(client.embed(name, "Hello").embeddings[0]) > 1
