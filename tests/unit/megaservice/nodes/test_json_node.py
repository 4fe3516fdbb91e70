"""What a JSON node sends, and what it keeps of the answer."""

from __future__ import annotations

from typing import Any

import pytest

from megaservice.nodes.base import NodeCall, Output
from megaservice.nodes.json_node import JsonNode
from megaservice.pipeline.spec import NodeSpec
from servicekit.errors import UpstreamBadResponseError
from servicekit.http.client import HttpClient
from tests.conftest import UpstreamFactory
from tests.support import scripts

CALL = NodeCall(
    {"messages": [{"role": "user", "content": "What is it?"}], "k": 2},
    {"embedding": {"vector": [0.5], "model": "m"}},
)


def _node(url: str = "http://x:1/v1/retrieval", **fields: Any) -> JsonNode:
    return JsonNode(
        "search", NodeSpec.model_validate({"service_type": "json", "endpoint": url, **fields}), HttpClient()
    )


def test_json_node_sends_its_parameters_and_inputs() -> None:
    """Nothing else: the service may refuse what it does not know. Inputs win, what is not there is null."""
    node = _node(
        parameters={"k": 4, "search_type": "similarity"},
        inputs={"text": "request.text", "embedding": "embedding.vector", "k": "request.k", "x": "embedding.nothing"},
    )
    expected = {"k": 2, "search_type": "similarity", "text": "What is it?", "embedding": [0.5], "x": None}
    assert node.payload(CALL) == expected


@pytest.mark.parametrize(("texts", "expected"), [({}, "What is it?"), ({"llm": "It is this."}, "It is this.")])
def test_json_node_without_inputs_sends_a_text_doc(texts: dict[str, str], expected: str) -> None:
    """What the node before wrote, else the question: what most of OPEA's services take."""
    call = NodeCall(CALL.request, texts=texts)
    assert _node().payload(call) == {"text": expected}


def test_json_node_produces_no_text_of_the_answer() -> None:
    """Even where its service's answer has a field of that name; and a failure is its error's body."""
    node = _node()
    assert node.text_of({"text": "a document"}) is None
    assert node.failure_output(UpstreamBadResponseError("x"))["error"]["code"] == "upstream_bad_response"


async def _answered(factory: UpstreamFactory, document: object, **fields: Any) -> Output:
    upstream = await factory(scripts.answer(200, document))
    async with HttpClient() as http:
        spec = {"service_type": "json", "endpoint": upstream.url + "/v1/x", **fields}
        return await JsonNode("search", NodeSpec.model_validate(spec), http).call(CALL)


async def test_json_node_keeps_what_its_outputs_name(scripted_upstream: UpstreamFactory) -> None:
    """And OPEA's list of nodes that shall not run; without `outputs` all of it."""
    document = {"data": [{"embedding": [1, 2]}], "usage": {}, "downstream_black_list": ["llm"]}
    mapped = await _answered(scripted_upstream, document, outputs={"vector": "data[0].embedding"})
    assert mapped == {"vector": [1, 2], "downstream_black_list": ["llm"]}
    assert await _answered(scripted_upstream, document) == document


async def test_json_node_refuses_an_answer_that_is_no_object(scripted_upstream: UpstreamFactory) -> None:
    """A list would have no fields for those behind it."""
    with pytest.raises(UpstreamBadResponseError, match=r"'search' at .* JSON that is no object"):
        await _answered(scripted_upstream, [[0.5]])
