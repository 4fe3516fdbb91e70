"""The nodes that run in the gateway: guards, with and without a service, and choices."""

from __future__ import annotations

from typing import Any

import pytest

from megaservice.nodes.base import NodeCall, call_headers
from megaservice.nodes.guard import GuardNode
from megaservice.nodes.openai_chat import ChatNode
from megaservice.nodes.select import SelectNode
from megaservice.pipeline.spec import NodeSpec
from servicekit.context import CallContext
from servicekit.errors import InternalError, UpstreamBadResponseError
from servicekit.http.client import HttpClient
from tests.conftest import UpstreamFactory
from tests.support import scripts

REQUEST: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
CUT = {"action": "cut", "finish_reason": "content_filter", "downstream_black_list": [".*"]}


def _spec(kind: str, **fields: Any) -> NodeSpec:
    return NodeSpec.model_validate({"service_type": kind, **fields})


def _call(text: str | None = None, **outputs: Any) -> NodeCall:
    texts = {} if text is None else {"llm": text}
    return NodeCall(REQUEST, outputs, texts)


async def _judge(text: str, **fields: Any) -> dict[str, Any]:
    return await GuardNode("guard", _spec("guard", **{"deny": ["bad"], **fields}), HttpClient()).call(_call(text))


async def test_guard_passes_replaces_or_cuts() -> None:
    """What is denied is replaced where the file says by what, else the text ends there."""
    assert await _judge(" A good one.") == {"text": " A good one.", "action": "passed"}
    assert await _judge(" A bad one.", replace="***") == {"text": " A *** one.", "action": "replaced"}
    assert await _judge(" A bad one.") == {"text": "", **CUT}
    assert await _judge(" A bad one.", message="No.") == {"text": "No.", **CUT}


#: What a guardrail answers about " One.", and what becomes of it.
ANSWERS = [
    ({"text": "One."}, {"text": " One.", "action": "passed"}),
    ({"text": "Eins."}, {"text": "Eins.", "action": "passed"}),
    ({"text": ""}, {"text": "", **CUT}),
    ({"text": "Violated policies: S1.", "downstream_black_list": [".*"]}, {"text": "Violated policies: S1.", **CUT}),
    ({"downstream_black_list": ["llm"]}, {"text": "", **CUT}),
]


@pytest.mark.parametrize(("answer", "expected"), ANSWERS)
async def test_guard_reads_an_opea_guardrails_answer(
    answer: dict[str, Any], expected: dict[str, Any], scripted_upstream: UpstreamFactory
) -> None:
    """A black list or an empty text is a denial; white space between sentences is not lost."""
    service = await scripted_upstream(scripts.answer(body=answer))
    async with HttpClient() as http:
        guard = GuardNode("guard", _spec("guard", endpoint=service.url + "/v1/guardrails"), http)
        assert await guard.call(_call(" One.")) == expected


async def test_guard_lets_nothing_through_where_its_service_talks_nonsense(
    scripted_upstream: UpstreamFactory,
) -> None:
    """It fails, and names itself."""
    service = await scripted_upstream(scripts.answer(body={}))
    async with HttpClient() as http:
        guard = GuardNode("guard", _spec("guard", endpoint=service.url), http)
        with pytest.raises(UpstreamBadResponseError, match=r"node 'guard'.*is it a guardrail"):
            await guard.call(_call("One."))


LISTED = {"candidates": "[a, b, c]"}


async def _choose(best: str | None, inputs: dict[str, str] | None = None, **outputs: Any) -> dict[str, Any]:
    spec = _spec("select", best=best, inputs=LISTED if inputs is None else inputs)
    return await SelectNode("pick", spec).call(NodeCall(REQUEST, outputs, {name: name for name in outputs}))


async def test_select_takes_the_best_of_those_that_have_a_text() -> None:
    """A node that was skipped is no candidate; the index is the place among those that are."""
    chosen = await _choose("max_by(candidates, &score)", b={"score": 0.4}, c={"score": 0.6})
    assert (chosen["text"], chosen["index"], len(chosen["candidates"])) == ("c", 1, 2)
    assert (await _choose(None, b={}, c={}))["text"] == "b"
    assert (await _choose("candidates[?score > `0.9`] | [0]", b={"score": 0.4}))["text"] == "b"


async def test_select_without_candidates_takes_the_nearest_text() -> None:
    """The branches of a switch come together."""
    assert (await _choose(None, {}, a={}, b={}))["text"] == "b"


@pytest.mark.parametrize(
    ("best", "inputs", "words"),
    [
        ("`5`", LISTED, "'best': '`5`' found something that is no candidate"),
        ("max_by(candidates, &score)", LISTED, "'best': 'max_by.*cannot be evaluated"),
        (None, {"candidates": "a.text"}, "found no list"),
    ],
)
async def test_select_that_cannot_choose_names_itself(best: str | None, inputs: dict[str, str], words: str) -> None:
    """Mistakes of the file: a 500 that says what to write."""
    with pytest.raises(InternalError, match=f"node 'pick'.*{words}"):
        await _choose(best, inputs, a={}, b={})


async def test_select_without_any_candidate_fails() -> None:
    """All of them failed or were skipped."""
    with pytest.raises(UpstreamBadResponseError, match="node 'pick': none of the candidates has a text"):
        await _choose(None)


def _messages(prompt: dict[str, Any], request: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    node = ChatNode("llm", _spec("llm", endpoint="http://a:1/", prompt=prompt), HttpClient())
    messages: list[dict[str, Any]] = node.payload(NodeCall(request or REQUEST, {"a": {"n": 1}}, {"a": "A"}))["messages"]
    return messages


def test_chat_node_fills_in_its_templates() -> None:
    """The user's message takes the place of the newest one; `history` says whether those before it stay."""
    turns = [("user", "one"), ("assistant", "two"), ("user", "three")]
    request = {"messages": [{"role": role, "content": text} for role, text in turns]}
    prompt = {"system": "S{{ a.n }}", "user": "{{ request.text }}+{{ a.text }}"}
    assert [message["content"] for message in _messages(prompt, request)] == ["S1", "one", "two", "three+A"]
    alone = _messages({**prompt, "history": "last_user_message"}, request)
    assert [message["content"] for message in alone] == ["S1", "three+A"]


def test_chat_node_whose_template_cannot_be_filled_in_names_itself() -> None:
    """And the place of the template."""
    with pytest.raises(InternalError, match=r"node 'llm', 'prompt.system': .*'b' is undefined"):
        _messages({"system": "{{ b.text }}"})


def test_call_headers_pass_on_what_is_named_and_nothing_else() -> None:
    """The caller's key never reaches a service by itself, and never takes the place of the node's own."""
    context = CallContext("req_1", request_headers={"x-tenant": "t", "authorization": "Bearer caller", "cookie": "c"})
    spec = _spec("llm", endpoint="http://a:1/", headers=["X-Tenant", "x-absent"])
    assert call_headers({}, spec, context) == {"x-tenant": "t", "x-request-id": "req_1"}
    named = _spec("llm", endpoint="http://a:1/", headers=["Authorization"])
    assert call_headers({}, named, context)["authorization"] == "Bearer caller"
    assert call_headers({"authorization": "Bearer own"}, named, context)["authorization"] == "Bearer own"
