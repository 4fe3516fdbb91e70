"""Values of a chat request that are refused, and the place that is named."""

from __future__ import annotations

import orjson
import pytest

from servicekit.errors import InvalidRequestError
from servicekit.openai.chat import ChatRequest
from servicekit.validation import parse_body

_BAD = [
    ({"messages": []}, "messages"),
    ({"messages": ""}, "messages"),
    ({"messages": [{"role": "robot"}]}, "messages[0].role"),
    ({"temperature": -0.1}, "temperature"),
    ({"temperature": "0"}, "temperature"),
    ({"top_p": 1.1}, "top_p"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"n": 0}, "n"),
    ({"stream": 1}, "stream"),
    ({"presence_penalty": 3}, "presence_penalty"),
    ({"response_format": "json"}, "response_format"),
    ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
]


@pytest.mark.parametrize(("body", "place"), _BAD, ids=[orjson.dumps(body).decode() for body, _ in _BAD])
def test_chat_request_refuses_values_out_of_bounds(body: dict[str, object], place: str) -> None:
    """The place is named, and types are not guessed: "0" is no number."""
    with pytest.raises(InvalidRequestError) as caught:
        parse_body(orjson.dumps({"messages": "Hello", **body}), ChatRequest)
    assert caught.value.param == place
