"""What a chat node is asked: prompt, history, parameters, model (decision 0, question 4)."""

from __future__ import annotations

from typing import Any

import pytest

from megaservice.nodes.base import NodeCall
from megaservice.nodes.openai_chat import ChatNode
from megaservice.pipeline.spec import NodeSpec
from servicekit.errors import InvalidRequestError
from servicekit.http.client import HttpClient

USER = {"role": "user", "content": "How are you?"}
HISTORY: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Ciao"},
    USER,
]
PROMPT = "Translate."


def _node(**fields: Any) -> ChatNode:
    spec = NodeSpec.model_validate({"service_type": "llm", "endpoint": "http://llm:1/v1/chat/completions", **fields})
    return ChatNode("llm", spec, HttpClient())


def _call(messages: list[dict[str, Any]] | None = None, *, is_answer: bool = True, **request: Any) -> NodeCall:
    body = {"messages": HISTORY if messages is None else messages, **request}
    return NodeCall(body, is_answer=is_answer)


def _after(text: str, **request: Any) -> NodeCall:
    """Return the call of a node behind another one that wrote a text."""
    output = {"choices": [{"message": {"content": text}}], "usage": {"total_tokens": 5}}
    return NodeCall({"messages": HISTORY, **request}, {"first": output}, {"first": text}, is_answer=True)


def _messages(node: ChatNode, call: NodeCall) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = node.payload(call)["messages"]
    return messages


# -------------------------------------------------------------------------------------------------------- messages


def test_chat_node_without_a_prompt_gets_the_conversation_untouched() -> None:
    """The whole history goes out, the caller's system message included."""
    assert _messages(_node(), _call()) == HISTORY


def test_chat_node_puts_its_prompt_first_and_appends_the_callers_system_message() -> None:
    """One system message: many chat templates refuse a second one."""
    assert _messages(_node(prompt={"system": PROMPT}), _call()) == [
        {"role": "system", "content": "Translate.\n\nBe brief."},
        *HISTORY[1:],
    ]


def test_chat_node_drops_the_callers_system_message_where_the_pipeline_replaces_it() -> None:
    """`caller_system: replace`, also for the newer role."""
    node = _node(prompt={"system": PROMPT, "caller_system": "replace"})
    messages = [{"role": "developer", "content": "x"}, *HISTORY]
    assert _messages(node, _call(messages)) == [{"role": "system", "content": PROMPT}, *HISTORY[1:]]


def test_chat_node_appends_every_system_message_of_the_caller_in_order() -> None:
    """System and developer messages, wherever they stand."""
    messages = [{"role": "developer", "content": "One."}, USER, {"role": "system", "content": "Two."}]
    sent = _messages(_node(prompt={"system": PROMPT}), _call(messages))
    assert sent == [{"role": "system", "content": "Translate.\n\nOne.\n\nTwo."}, USER]


@pytest.mark.parametrize("history", ["whole", "last_user_message"])
def test_chat_node_gets_the_history_that_the_pipeline_says(history: str) -> None:
    """A translation's source is the last user message; a chat is the whole conversation."""
    sent = _messages(_node(prompt={"system": PROMPT, "history": history}), _call())
    assert sent[1:] == ([USER] if history == "last_user_message" else HISTORY[1:])
    assert sent[0] == {"role": "system", "content": "Translate.\n\nBe brief."}


def test_chat_node_takes_the_last_user_message_where_an_assistants_follows_it() -> None:
    """The newest message of the user counts, not the newest of all."""
    messages = [USER, {"role": "assistant", "content": "Bene."}]
    node = _node(prompt={"history": "last_user_message"})
    assert _messages(node, _call(messages)) == [USER]


def test_chat_node_joins_content_parts_where_it_needs_the_text() -> None:
    """`content` may be a list of parts; pictures are no text."""
    parts = [{"type": "text", "text": "One"}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "Two"}]
    message = {"role": "user", "content": parts}
    assert _messages(_node(), _call([message])) == [message]
    assert _messages(_node(prompt={"history": "last_user_message"}), _call([message])) == [
        {"role": "user", "content": "One\nTwo"}
    ]


@pytest.mark.parametrize("messages", [[{"role": "system", "content": "x"}], [{"role": "user", "content": " \n"}]])
def test_chat_node_refuses_a_request_without_a_text_to_work_on(messages: list[dict[str, Any]]) -> None:
    """Nothing to translate is the caller's error, and names the field."""
    with pytest.raises(InvalidRequestError) as caught:
        _node(prompt={"history": "last_user_message"}).payload(_call(messages))
    assert caught.value.param == "messages"


def test_chat_node_works_on_what_the_node_before_it_wrote() -> None:
    """The text of the nearest text-producing node takes the conversation's place; system messages stay."""
    assert _messages(_node(prompt={"system": PROMPT}), _after("Ciao")) == [
        {"role": "system", "content": "Translate.\n\nBe brief."},
        {"role": "user", "content": "Ciao"},
    ]


_INPUTS = [
    ("request.text", "How are you?"),
    ("first.text", "Ciao"),
    ("join(' / ', [request.text, first.text])", "How are you? / Ciao"),
    ("request.messages[1].content", "Hello"),
    ("request.question", "what?"),
]


@pytest.mark.parametrize(("expression", "text"), _INPUTS, ids=[expression for expression, _ in _INPUTS])
def test_chat_node_works_on_the_text_that_its_input_selects(expression: str, text: str) -> None:
    """`inputs.text` is JMESPath over the request and the nodes before."""
    node = _node(inputs={"text": expression})
    assert _messages(node, _after("Ciao", question="what?"))[-1] == {"role": "user", "content": text}


@pytest.mark.parametrize("expression", ["nowhere.text", "first.usage", "request.messages"])
def test_chat_node_refuses_an_input_that_selects_no_text(expression: str) -> None:
    """An expression that finds nothing, or no text, is no empty prompt."""
    with pytest.raises(InvalidRequestError):
        _node(inputs={"text": expression}).payload(_after("Ciao"))


# ------------------------------------------------------------------------------------------- parameters and model


def test_chat_node_parameters_are_defaults_that_the_request_beats() -> None:
    """The pipeline's values hold unless the request asks otherwise."""
    node = _node(parameters={"temperature": 0, "top_p": 0.5})
    payload = node.payload(_call(temperature=0.9, seed=7))
    assert (payload["temperature"], payload["top_p"], payload["seed"]) == (0.9, 0.5, 7)


def test_chat_node_that_does_not_answer_gets_no_sampling_parameters_of_the_request() -> None:
    """They are meant for the answer: a node before it keeps the pipeline's."""
    payload = _node(parameters={"temperature": 0}).payload(_call(is_answer=False, temperature=0.9, n=3, model="m"))
    assert payload == {"temperature": 0, "model": "m", "messages": HISTORY}


def test_chat_node_leaves_out_what_openai_servers_refuse() -> None:
    """OPEA's own fields stay at the gateway, and so do the gateway's switches; unknown fields travel on."""
    own: dict[str, Any] = {
        "max_new_tokens": 9,
        "typical_p": 0.9,
        "repetition_penalty": 1.1,
        "chat_template": "x",
        "streaming": True,
        "input": "x",
        "query": "x",
        "text": "x",
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    payload = _node().payload(_call(**own, top_k=3, tools=[{"type": "function"}]))
    assert payload == {"messages": HISTORY, "top_k": 3, "tools": [{"type": "function"}]}


@pytest.mark.parametrize(
    ("pinned", "asked", "sent"), [(None, "asked", "asked"), ("pinned", "asked", "pinned"), ("pinned", None, "pinned")]
)
def test_chat_node_asks_for_the_pinned_model_before_the_requests(pinned: str, asked: str | None, sent: str) -> None:
    """A node's own model wins; else the request's goes out."""
    request: dict[str, Any] = {} if asked is None else {"model": asked}
    assert _node(model=pinned).payload(_call(**request))["model"] == sent


def test_chat_node_sends_no_model_where_nobody_names_one() -> None:
    """The LLM service has a default; `null` would be refused."""
    assert "model" not in _node().payload(_call())


def test_chat_node_never_changes_the_request_itself() -> None:
    """Several nodes read one request."""
    call = _call(temperature=0.5)
    before = [dict(message) for message in HISTORY]
    _node(prompt={"system": PROMPT, "history": "last_user_message"}, parameters={"top_p": 1}).payload(call)
    assert call.request == {"messages": before, "temperature": 0.5}


# ----------------------------------------------------------------------------------------------------- its outputs


def test_chat_node_text_is_that_of_the_first_choice() -> None:
    """A tool call has none, and is an empty text for those behind it."""
    node = _node()
    assert node.text_of({"choices": [{"message": {"content": "Ciao"}}, {"message": {"content": "Salve"}}]}) == "Ciao"
    assert node.text_of({"choices": [{"message": {"content": None, "tool_calls": []}}]}) == ""
    assert node.text_of({"error": {}}) is None


def test_chat_node_failure_is_attached_as_openais_error() -> None:
    """What a soft node leaves behind in the answer."""
    error = InvalidRequestError("no", param="messages")
    assert _node().failure_output(error) == {
        "error": {"message": "no", "type": "invalid_request_error", "param": "messages", "code": "invalid_value"}
    }
