"""The gateway's HTTP side as curl sees it: what it accepts, what it refuses and how, and what it tells about itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from megaservice.orchestration import orchestrator
from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.gateway import (
    CHAT,
    GRADE,
    GRADED,
    GREETING,
    ask,
    ask_stream,
    chat_file,
    graded_file,
    running_gateway,
)
from tests.support.scripted_upstream import Reply, ScriptedUpstream

EXAMPLE = "/v1/example-service"
CHAT_PATHS = pytest.mark.parametrize("path", [CHAT, EXAMPLE, GRADED])


class _Served(NamedTuple):
    client: httpx.AsyncClient
    llm: ScriptedUpstream
    grader: ScriptedUpstream


async def _llm_script(reply: Reply) -> None:
    if reply.request.method == "GET":  # readiness probes
        await scripts.answer(404, {"detail": "Not Found"})(reply)
    elif reply.request.json.get("stream"):
        await scripts.openai_stream(["Ciao", "!"])(reply)
    else:
        await scripts.completion("Ciao!")(reply)


@asynccontextmanager
async def _served(start: UpstreamFactory, folder: Path, **settings: Any) -> AsyncIterator[_Served]:
    llm, grader = await start(_llm_script), await start(scripts.answer(200, GRADE))
    async with (
        running_gateway(folder, llm_url=llm.url, grader_url=grader.url, **settings) as url,
        httpx.AsyncClient(base_url=url, timeout=10, trust_env=False) as client,
    ):
        yield _Served(client, llm, grader)


# ------------------------------------------------------------------------------------------------- good requests


@CHAT_PATHS
async def test_chat_answers_json_unless_a_stream_is_asked_for(
    path: str, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Users pipe the answer into jq: one JSON object."""
    async with _served(scripted_upstream, tmp_path) as served:
        response = await served.client.post(path, json={"messages": GREETING})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "Ciao!"}
    assert ("grade" in answer) is (path == GRADED)


@CHAT_PATHS
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_chat_takes_messages_as_a_plain_string(
    path: str, stream: bool, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """A string is one user message; the node gets a list."""
    async with _served(scripted_upstream, tmp_path) as served:
        response = await served.client.post(path, json={"messages": "Hello, how are you?", "stream": stream})
    assert response.status_code == 200
    assert served.llm.requests[0].json["messages"][-1] == {"role": "user", "content": "Hello, how are you?"}


async def test_chat_does_not_send_what_openai_upstreams_refuse(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """OPEA's own fields and nulls stay at the gateway; what it does not know travels on."""
    body = {"messages": GREETING, "max_new_tokens": 9, "typical_p": 0.9, "temperature": None, "top_k": 3, "model": "m"}
    async with _served(scripted_upstream, tmp_path) as served:
        await served.client.post(CHAT, json=body)
    sent = served.llm.requests[0].json
    sent.pop("stream", None)
    assert sent == {"messages": GREETING, "top_k": 3, "model": "m"}


async def test_chat_hands_request_id_and_deadline_on_to_every_node(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """The caller's id is echoed and reaches the nodes, with the milliseconds that are left."""
    headers = {"x-request-id": "trace-7", "x-request-timeout-ms": "5000"}
    async with _served(scripted_upstream, tmp_path) as served:
        response = await served.client.post(GRADED, json={"messages": GREETING}, headers=headers)
    assert response.headers["x-request-id"] == "trace-7"
    for request in (served.llm.requests[0], served.grader.requests[0]):
        assert request.headers["x-request-id"] == "trace-7"
        assert 3000 < int(request.headers["x-request-timeout-ms"]) <= 5000


async def test_chat_makes_a_request_id_where_none_or_an_unsafe_one_came(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Every answer has an id, errors too, and nothing unsafe is passed on."""
    async with _served(scripted_upstream, tmp_path) as served:
        plain = await served.client.post(CHAT, json={"messages": GREETING})
        unsafe = await served.client.post(CHAT, json={"messages": GREETING}, headers={"x-request-id": "a b\t{}"})
        failed = await served.client.post(CHAT, content=b"{")
    ids = [response.headers["x-request-id"] for response in (plain, unsafe, failed)]
    assert len(set(ids)) == 3
    assert all(request_id.startswith("req_") for request_id in ids)
    assert [request.headers["x-request-id"] for request in served.llm.requests] == ids[:2]


async def test_chat_passes_notices_on_in_body_and_header(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """What the model says about its own answer is seen by programs (body) and by curl -i (header)."""
    notice = {"code": "out_of_domain", "message": "This was not in the training data."}
    whole = {**scripts.completion_object("Ciao!"), "notice": notice}
    delta = [{"index": 0, "delta": {"content": "Ciao!"}, "finish_reason": None}]
    streamed = scripts.stream(scripts.encode_chunk(delta, notice=notice), *scripts.openai_events([]))
    llm = await scripted_upstream(scripts.answer(200, whole), streamed)
    async with (
        running_gateway(tmp_path, llm_url=llm.url) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        response = await client.post(CHAT, json={"messages": GREETING})
        stream = await ask_stream(url + CHAT)
    assert response.json()["notice"] == notice
    assert response.headers["x-model-notice"] == stream.headers["x-model-notice"] == "out_of_domain"
    assert [chunk["notice"] for chunk in stream.chunks if "notice" in chunk] == [notice]


@pytest.mark.parametrize(
    "code", ["a\r\nset-cookie: b=c", "a\0b", "\u65e5", 3], ids=["lines", "nul", "unicode", "number"]
)
async def test_chat_sends_no_header_of_a_notice_that_does_not_fit_into_one(
    code: object, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """A service behind a node cannot add headers to the gateway's answers, nor break them."""
    said = {"text": "Ciao!", "choices": [], "notice": {"code": code}}
    service = await scripted_upstream(scripts.answer(200, said))
    document = chat_file(service.url)
    document["opea_micro_services"] = {"text": {"service_type": "text", "endpoint": f"{service.url}/v1/text"}}
    document["opea_mega_service"]["mega_flow"] = ["text"]
    async with running_gateway(tmp_path, llm_url=service.url, files=[document]) as url:
        response = await ask(url + CHAT)
    assert (response.status_code, response.json()) == (200, said)
    assert not {"x-model-notice", "set-cookie"} & set(response.headers)


async def test_chat_answers_many_requests_at_once(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """Requests do not wait for one another, and each gets its own answer."""

    async def echo(reply: Reply) -> None:
        await scripts.completion(reply.request.json["messages"][-1]["content"], after_seconds=0.1)(reply)

    llm = await scripted_upstream(echo)
    async with (
        running_gateway(tmp_path, llm_url=llm.url) as url,
        httpx.AsyncClient(base_url=url, timeout=10, trust_env=False) as client,
    ):
        posts = [client.post(CHAT, json={"messages": f"number {number}"}) for number in range(40)]
        answers = [response.json() for response in await asyncio.gather(*posts)]
    texts = [answer["choices"][0]["message"]["content"] for answer in answers]
    assert texts == [f"number {number}" for number in range(40)]
    assert llm.most_open_count > 20


# -------------------------------------------------------------------------------------------------- bad requests


class _Bad(NamedTuple):
    content: bytes
    param: str | None
    words: str


_BAD_BODIES = {
    "empty": _Bad(b"", None, "is empty; a JSON object was expected"),
    "malformed": _Bad(b'{"messages": [}', None, "line 1, column"),
    "array": _Bad(b"[1]", None, "JSON array; an object was expected"),
    "not-utf8": _Bad(b'{"messages": "\xff"}', None, "not valid JSON"),
    "no-messages": _Bad(b"{}", "messages", "messages: this field is required"),
    "messages-null": _Bad(b'{"messages": null}', "messages", "messages: "),
    "messages-empty": _Bad(b'{"messages": []}', "messages", "at least 1 item"),
    "messages-empty-string": _Bad(b'{"messages": ""}', "messages", "at least 1 character"),
    "messages-number": _Bad(b'{"messages": 7}', "messages", "messages: "),
    "role-unknown": _Bad(b'{"messages": [{"role": "boss", "content": "x"}]}', "messages[0].role", '"boss"'),
    "role-missing": _Bad(b'{"messages": [{"content": "x"}]}', "messages[0].role", "required"),
    "content-number": _Bad(b'{"messages": [{"role": "user", "content": 7}]}', "messages[0].content", "found 7"),
    "temperature-text": _Bad(b'{"messages": "x", "temperature": "hot"}', "temperature", '"hot"'),
    "temperature-high": _Bad(b'{"messages": "x", "temperature": 3}', "temperature", "less than or equal to 2"),
    "max-tokens-zero": _Bad(b'{"messages": "x", "max_tokens": 0}', "max_tokens", "found 0"),
    "stream-text": _Bad(b'{"messages": "x", "stream": "yes"}', "stream", '"yes"'),
    "model-number": _Bad(b'{"messages": "x", "model": 1}', "model", "found 1"),
}


@pytest.mark.parametrize("bad", _BAD_BODIES.values(), ids=_BAD_BODIES.keys())
async def test_bad_body_is_a_400_that_names_the_place(
    bad: _Bad, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Each bad body gets OpenAI's error with `param`, and no node is asked."""
    async with _served(scripted_upstream, tmp_path) as served:
        responses = [await served.client.post(path, content=bad.content) for path in (CHAT, GRADED)]
    for response in responses:
        error = response.json()["error"]
        assert (response.status_code, error["type"], error["code"]) == (400, "invalid_request_error", "invalid_value")
        assert error["param"] == bad.param
        assert bad.words in error["message"]
    assert served.llm.requests == []


async def test_bad_body_without_user_text_is_a_400_where_there_is_nothing_to_translate(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """A conversation without a user's text has nothing to work on."""
    for messages in ([{"role": "system", "content": "x"}], [{"role": "user", "content": " "}], "  "):
        async with _served(scripted_upstream, tmp_path) as served:
            response = await served.client.post(GRADED, json={"messages": messages})
        error = response.json()["error"]
        assert (response.status_code, error["param"]) == (400, "messages")
        assert served.llm.requests == []


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
async def test_body_over_the_limit_is_a_413(
    announced: bool, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """A body that is too large is refused by its length, or while it arrives."""
    payload = b'{"messages": "' + b"x" * 2_000 + b'"}'

    async def pieces() -> AsyncIterator[bytes]:
        yield payload[:1_500]
        yield payload[1_500:]

    async with _served(scripted_upstream, tmp_path, max_body_bytes=1_000) as served:
        response = await served.client.post(CHAT, content=payload if announced else pieces())
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (413, "payload_too_large")
    assert "1000 bytes" in error["message"]
    assert served.llm.requests == []


async def test_unknown_path_is_a_404(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """A path that is not there is named, in OpenAI's shape."""
    async with _served(scripted_upstream, tmp_path) as served:
        response = await served.client.post("/v1/nothing", json={})
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (404, "not_found")
    assert "POST /v1/nothing" in error["message"]


async def test_wrong_method_is_a_405(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """A path that exists says which methods it takes."""
    async with _served(scripted_upstream, tmp_path) as served:
        response = await served.client.get(CHAT)
    error = response.json()["error"]
    assert (response.status_code, error["code"], response.headers["allow"]) == (405, "method_not_allowed", "POST")
    assert "GET /v1/chat/completions" in error["message"]


async def test_key_is_needed_everywhere_but_at_the_probes(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """With API_KEYS set every request needs one, by either header; health and readiness do not."""
    async with _served(scripted_upstream, tmp_path, api_keys="secret") as served:
        client = served.client
        refused = [
            await client.post(CHAT, json={"messages": GREETING}),
            await client.post(CHAT, json={"messages": GREETING}, headers={"authorization": "Bearer wrong"}),
            await client.get("/v1/models"),
            await client.get("/metrics"),
            await client.post("/v1/nothing"),
        ]
        open_ones = [await client.get(path) for path in ("/health", "/ready", "/v1/health_check")]
        accepted = [
            await client.post(CHAT, json={"messages": GREETING}, headers={"authorization": "Bearer secret"}),
            await client.get("/v1/models", headers={"api-key": "secret"}),
        ]
    assert [response.status_code for response in refused] == [401] * 5
    assert {response.json()["error"]["code"] for response in refused} == {"invalid_api_key"}
    assert [response.status_code for response in (*open_ones, *accepted)] == [200] * 5


async def test_unexpected_failure_is_a_500_that_tells_nothing(
    scripted_upstream: UpstreamFactory,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bug of ours is an internal_error with the request's id; its details are in the log alone."""

    def broken(*_arguments: object) -> None:
        raise ZeroDivisionError("a secret of ours")

    llm = await scripted_upstream(_llm_script)
    async with (
        running_gateway(tmp_path, llm_url=llm.url, files=[chat_file(llm.url)]) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        monkeypatch.setattr(orchestrator, "compose_answer", broken)
        response = await client.post(CHAT, json={"messages": GREETING})
    error = response.json()["error"]
    assert (response.status_code, error["type"], error["code"]) == (500, "server_error", "internal_error")
    assert response.headers["x-should-retry"] == "false"
    assert "secret" not in response.text
    assert "a secret of ours" in caplog.text


async def test_key_of_a_node_is_sent_to_it_and_to_no_other(
    scripted_upstream: UpstreamFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`api_key_env` names the variable; of several keys the first is sent. The caller's own key stays here."""
    monkeypatch.setenv("NODE_KEYS", "first, second")
    llm, grader = (
        await scripted_upstream(scripts.completion("Ciao!")),
        await scripted_upstream(scripts.answer(200, GRADE)),
    )
    document = graded_file(llm.url, grader.url)
    document["opea_micro_services"]["llm"]["api_key_env"] = "NODE_KEYS"
    async with running_gateway(tmp_path, llm_url=llm.url, files=[document], api_keys="secret") as url:
        response = await ask(url + GRADED, headers={"authorization": "Bearer secret"})
    assert response.status_code == 200
    assert llm.requests[0].headers["authorization"] == "Bearer first"
    assert "authorization" not in grader.requests[0].headers
