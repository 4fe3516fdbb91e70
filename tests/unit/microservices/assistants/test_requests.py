"""The bodies of requests: what OpenAI's rules let in, and how what they do not is answered."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from microservices.assistants.requests.assistants import CreateAssistant, UpdateAssistant
from microservices.assistants.requests.body import RequestModel, parse_request
from microservices.assistants.requests.messages import CreateMessage
from microservices.assistants.requests.runs import CreateRun, CreateThreadAndRun, SubmitToolOutputs
from microservices.assistants.requests.threads import CreateThread, UpdateThread
from servicekit.errors import InvalidRequestError

CODE = {"type": "code_interpreter"}
FUNCTION = {"type": "function", "function": {"name": "f"}}


def _deep(levels: int) -> dict[str, Any]:
    node: dict[str, Any] = {}
    for _ in range(levels):
        node = {"properties": node}
    return node


def _with_parameters(parameters: object) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": {"name": "f", "parameters": parameters}}]}


def _parse(kind: type[RequestModel], body: dict[str, Any]) -> Any:  # noqa: ANN401 - an object of that kind
    return parse_request(orjson.dumps(body), kind)


@pytest.mark.parametrize(
    ("kind", "body", "param", "hint"),
    [
        (CreateAssistant, {}, "model", "required"),
        (CreateAssistant, {"model": 3}, "model", "string"),
        (CreateAssistant, {"model": ""}, "model", "at least 1"),
        (CreateAssistant, {"model": "m", "temprature": 1}, "temprature", "Unknown parameter: 'temprature'. Did you"),
        (CreateAssistant, {"model": "m", "temperature": 2.1}, "temperature", "less than or equal to 2"),
        (CreateAssistant, {"model": "m", "temperature": "1"}, "temperature", "number"),
        (CreateAssistant, {"model": "m", "temperature": True}, "temperature", "number"),
        (CreateAssistant, {"model": "m", "top_p": -0.1}, "top_p", "greater"),
        (CreateAssistant, {"model": "m", "name": "x" * 257}, "name", "at most 256"),
        (CreateAssistant, {"model": "m", "description": "x" * 513}, "description", "at most 512"),
        (CreateAssistant, {"model": "m", "instructions": "x" * 256_001}, "instructions", "at most 256000"),
        (CreateAssistant, {"model": "m", "name": "a\0"}, "name", "U+0000"),
        (CreateAssistant, {"model": "m", "metadata": {"a": 1}}, "metadata.a", "string"),
        (CreateAssistant, {"model": "m", "metadata": {"k" * 65: "v"}}, "metadata." + "k" * 65, "at most 64"),
        (CreateAssistant, {"model": "m", "metadata": {"k": "v" * 513}}, "metadata.k", "at most 512"),
        (CreateAssistant, {"model": "m", "metadata": {str(n): "v" for n in range(17)}}, "metadata", "at most 16"),
        (CreateAssistant, {"model": "m", "tools": [FUNCTION] * 129}, "tools", "at most 128"),
        (CreateAssistant, {"model": "m", "tools": [CODE]}, "tools[0]", "no code runs here"),
        (CreateAssistant, {"model": "m", "tools": [{"type": "browser"}]}, "tools[0]", "'file_search'"),
        (CreateAssistant, {"model": "m", "tools": ["function"]}, "tools[0]", "'file_search'"),
        (CreateAssistant, {"model": "m", "tools": [{"type": "function"}]}, "tools[0].function", "required"),
        (
            CreateAssistant,
            {"model": "m", "tools": [{"type": "function", "function": {"name": "a b"}}]},
            "tools[0].function.name",
            "pattern",
        ),
        (
            CreateAssistant,
            {"model": "m", "tools": [{**FUNCTION, "function": {"name": "f", "x-y": 1}}]},
            "tools[0].function.x-y",
            "Unknown parameter",
        ),
        (
            CreateAssistant,
            {"model": "m", **_with_parameters({"type": "string"})},
            "tools[0].function.parameters",
            "object",
        ),
        (CreateAssistant, {"model": "m", **_with_parameters(_deep(100))}, "tools[0]", "64 levels"),
        (CreateAssistant, {"model": "m", "response_format": "json"}, "response_format", "'auto'"),
        (CreateAssistant, {"model": "m", "response_format": {"type": "xml"}}, "response_format", "json_schema"),
        (CreateAssistant, {"model": "m", "reasoning_effort": "huge"}, "reasoning_effort", "'high'"),
        (
            CreateAssistant,
            {"model": "m", "tool_resources": {"file_search": {"vector_store_ids": ["a", "b"]}}},
            "tool_resources.file_search.vector_store_ids",
            "at most 1",
        ),
        (
            CreateAssistant,
            {"model": "m", "tool_resources": {"code_interpreter": {"file_ids": ["file-1"]}}},
            "tool_resources.code_interpreter.file_ids",
            "no code runs here",
        ),
        (CreateMessage, {"role": "system", "content": "x"}, "role", "'user' or 'assistant'"),
        (CreateMessage, {"role": "user", "content": ""}, "content", "at least 1"),
        (CreateMessage, {"role": "user", "content": []}, "content", "at least 1"),
        (CreateMessage, {"role": "user", "content": 3}, "content", "string or an array"),
        (CreateMessage, {"role": "user", "content": [{"type": "video"}]}, "content[0]", "'image_url'"),
        (CreateMessage, {"role": "user", "content": [{"type": "text", "text": 3}]}, "content[0].text", "string"),
        (
            CreateMessage,
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]},
            "content[0].image_url.url",
            "pattern",
        ),
        (
            CreateMessage,
            {
                "role": "user",
                "content": "x",
                "attachments": [{"file_id": "f", "tools": [CODE]}],
            },
            "attachments[0].tools[0]",
            "no code runs here",
        ),
        (CreateThread, {"messages": [{"role": "user"}]}, "messages[0].content", "required"),
        (CreateRun, {"model": "m"}, "assistant_id", "required"),
        (CreateRun, {"assistant_id": "a", "stream": "yes"}, "stream", "boolean"),
        (CreateRun, {"assistant_id": "a", "max_prompt_tokens": 0}, "max_prompt_tokens", "greater"),
        (CreateRun, {"assistant_id": "a", "max_completion_tokens": 2**40}, "max_completion_tokens", "less"),
        (CreateRun, {"assistant_id": "a", "tool_choice": "any"}, "tool_choice", "'required'"),
        (CreateRun, {"assistant_id": "a", "tool_choice": CODE}, "tool_choice", "no code runs"),
        (
            CreateRun,
            {"assistant_id": "a", "truncation_strategy": {"type": "last_messages"}},
            "truncation_strategy",
            "required",
        ),
        (CreateRun, {"assistant_id": "a", "thread": {}}, "thread", "Unknown parameter"),
        (CreateThreadAndRun, {"assistant_id": "a", "thread": {"messages": 3}}, "thread.messages", "array"),
        (SubmitToolOutputs, {"tool_outputs": []}, "tool_outputs", "at least 1"),
        (SubmitToolOutputs, {"tool_outputs": [{"output": "x"}]}, "tool_outputs[0].tool_call_id", "required"),
    ],
)
def test_body_that_breaks_a_rule_is_refused_with_its_place(
    kind: type[RequestModel], body: dict[str, Any], param: str, hint: str
) -> None:
    """`param` names the place, the message what was expected there."""
    with pytest.raises(InvalidRequestError) as refusal:
        _parse(kind, body)
    assert refusal.value.param == param
    assert hint in refusal.value.message


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'"x"', b"[" * 2000])
def test_body_that_is_no_object_is_refused(body: bytes) -> None:
    """Whatever is no JSON object is refused, an empty body too where there must be one."""
    with pytest.raises(InvalidRequestError):
        parse_request(body, CreateAssistant)


def test_body_may_be_missing_where_everything_is_optional() -> None:
    """`POST /threads` needs none."""
    assert parse_request(b" \n", CreateThread, may_be_empty=True).to_new().messages == []


def test_update_changes_what_is_named_and_null_clears() -> None:
    """What the body does not name stays; null clears; the model cannot be cleared."""
    changes = _parse(UpdateAssistant, {"name": None, "metadata": None, "tools": None, "model": None}).changes()
    assert changes == {"name": None, "metadata": {}, "tools": []}
    assert _parse(UpdateThread, {}).changes() == {}
    assert _parse(UpdateThread, {"metadata": {"a": "b"}}).changes() == {"metadata": {"a": "b"}}


def test_tools_are_kept_as_they_came() -> None:
    """A schema's nulls are part of it; what was not sent is not added."""
    parameters = {"type": "object", "properties": {"a": {"enum": [None, 1], "default": None}}}
    changes = _parse(CreateAssistant, {"model": "m", **_with_parameters(parameters)}).changes()
    assert changes["tools"] == [{"type": "function", "function": {"name": "f", "parameters": parameters}}]


def test_json_schema_format_keeps_its_schema() -> None:
    """`schema` goes in and out under its own name."""
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True}}
    assert _parse(CreateAssistant, {"model": "m", "response_format": wanted}).changes()["response_format"] == wanted


def test_first_version_of_the_api_is_understood() -> None:
    """`retrieval` is file_search, and `file_ids` are a vector store or attachments."""
    body = {"model": "m", "tools": [{"type": "retrieval"}], "file_ids": ["file-1"]}
    changes = _parse(CreateAssistant, body).changes()
    assert changes["tools"] == [{"type": "file_search"}]
    assert changes["tool_resources"] == {"file_search": {"vector_stores": [{"file_ids": ["file-1"]}]}}
    message = _parse(CreateMessage, {"role": "user", "content": "x", "file_ids": ["file-1"]}).to_new()
    assert message.attachments == [{"file_id": "file-1", "tools": [{"type": "file_search"}]}]


def test_run_knows_what_was_left_out() -> None:
    """What is None comes from the assistant; empty tools are no tools."""
    new = _parse(CreateRun, {"assistant_id": "a", "tools": [], "parallel_tool_calls": None}).to_new()
    assert (new.tools, new.model, new.temperature, new.parallel_tool_calls) == ([], None, None, True)
    assert _parse(CreateRun, {"assistant_id": "a"}).to_new().tools is None


def test_empty_resources_of_a_missing_tool_are_harmless() -> None:
    """Objects saved from OpenAI carry `code_interpreter: {file_ids: []}`."""
    resources = {"code_interpreter": {"file_ids": []}, "file_search": {"vector_store_ids": ["vs_1"]}}
    changes = _parse(CreateAssistant, {"model": "m", "tool_resources": resources}).changes()
    assert changes["tool_resources"] == {"file_search": {"vector_store_ids": ["vs_1"]}}
