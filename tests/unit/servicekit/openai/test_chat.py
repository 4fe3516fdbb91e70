"""Chat requests as they are checked, and answers as they are built."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
from pydantic import ValidationError

from servicekit.openai.chat import ChatRequest, Content, chat_completion, last_user_text, text_of


@pytest.mark.parametrize(
    ("message", "is_good"),
    [
        ({"role": "user"}, False),
        ({"role": "system", "content": None}, False),
        ({"role": "developer"}, False),
        ({"role": "tool", "tool_call_id": "c"}, False),
        ({"role": "assistant"}, False),
        ({"role": "assistant", "content": None, "tool_calls": []}, False),
        ({"role": "assistant", "tool_calls": [{"id": "c"}]}, True),
        ({"role": "assistant", "refusal": "No."}, True),
        ({"role": "function", "name": "f", "content": None}, True),
    ],
)
def test_message_needs_content_where_openai_requires_it(message: dict[str, Any], is_good: bool) -> None:
    """Missing and null are the same; an assistant's call stands in its place."""
    with nullcontext() if is_good else pytest.raises(ValidationError):
        _request(messages=[message])


def _request(**fields: Any) -> ChatRequest:
    return ChatRequest.model_validate({"messages": "Hi", **fields})


def test_message_list_makes_a_user_message_of_a_string() -> None:
    """OPEA's users send `messages` as a plain string."""
    assert _request().message_list() == [{"role": "user", "content": "Hi"}]


def test_message_list_keeps_fields_that_it_does_not_know() -> None:
    """Names, tool calls and what comes next year travel on; nothing is added."""
    messages = [
        {"role": "assistant", "tool_calls": [{"id": "1"}]},
        {"role": "tool", "tool_call_id": "1", "content": "x"},
    ]
    assert _request(messages=messages).message_list() == messages


def test_sampling_is_what_was_sent_and_nothing_else() -> None:
    """Defaults that nobody sent do not reach the upstream; unknown fields do."""
    request = _request(model="m", stream=True, temperature=0.0, top_k=3, seed=None)
    assert request.sampling() == {"temperature": 0.0, "top_k": 3}


@pytest.mark.parametrize(
    ("options", "wanted"),
    [({}, False), ({"stream_options": {"include_usage": True}}, True), ({"stream_options": {}}, False)],
)
def test_wants_stream_usage_follows_stream_options(options: dict[str, Any], wanted: bool) -> None:
    """Usage is streamed only where it was asked for."""
    assert _request(stream=True, **options).wants_stream_usage is wanted


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("Hi", "Hi"),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb"),
        ([{"type": "image_url", "image_url": {}}, {"type": "text", "text": "b"}], "b"),
        ([], ""),
    ],
)
def test_text_of_joins_the_text_parts(content: Content, text: str) -> None:
    """Content is a string, a list of parts, or nothing."""
    assert text_of(content) == text


def test_last_user_text_is_the_newest_user_s() -> None:
    """For a translation the source is the last user message."""
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "old"},
        {"role": "user", "content": [{"type": "text", "text": "new"}]},
        {"role": "assistant", "content": "answer"},
    ]
    assert last_user_text(messages) == "new"
    assert last_user_text(messages[2:]) == ""


def test_chat_completion_has_openai_s_shape() -> None:
    """One choice, true usage, an id with OpenAI's prefix."""
    answer = chat_completion("m", "Ciao!", {"total_tokens": 3})
    assert answer.pop("id").startswith("chatcmpl-")
    assert answer.pop("created") > 1_700_000_000
    assert answer == {
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Ciao!"}, "finish_reason": "stop"}],
        "usage": {"total_tokens": 3},
    }
