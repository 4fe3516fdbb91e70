"""Messages about bodies that cannot be used."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from servicekit.errors import InvalidRequestError
from servicekit.openai.chat import ChatRequest
from servicekit.validation import parse_body

GOOD = {"messages": [{"role": "user", "content": "Hi"}]}


def _error_of(body: bytes) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        parse_body(body, ChatRequest)
    return caught.value


def test_parse_body_returns_the_checked_model() -> None:
    """A good body becomes a model."""
    assert parse_body(orjson.dumps(GOOD), ChatRequest).message_list() == GOOD["messages"]


@pytest.mark.parametrize("body", [b"", b"  \n"])
def test_parse_body_says_that_the_body_is_empty(body: bytes) -> None:
    """An empty body is named as such, not as a parser's error."""
    assert "is empty" in _error_of(body).message


def test_parse_body_names_line_and_column_of_broken_json() -> None:
    """The place of a syntax error is told."""
    assert "(line 2, column" in _error_of(b'{"messages":\n oops}').message


@pytest.mark.parametrize(
    ("body", "kind"), [(b"[]", "array"), (b'"x"', "string"), (b"3", "number"), (b"true", "boolean"), (b"null", "null")]
)
def test_parse_body_says_what_was_found_instead_of_an_object(body: bytes, kind: str) -> None:
    """JSON that is no object is named by its JSON type."""
    assert f"is a JSON {kind}; an object was expected" in _error_of(body).message


@pytest.mark.parametrize(
    ("change", "param", "words"),
    [
        ({"messages": None}, "messages", "found null"),
        ({"messages": []}, "messages", "expected an array with at least 1 item"),
        ({"stream_options": 3}, "stream_options", "expected an object, found 3."),
        ({"messages": [{"content": "Hi"}]}, "messages[0].role", "required"),
        ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages[0].role", '"robot"'),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content", "found 3"),
        ({"temperature": "hot"}, "temperature", '"hot"'),
        ({"temperature": 3}, "temperature", "less than or equal to 2"),
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        ({"stream": "yes"}, "stream", "boolean"),
        ({"stream": 1}, "stream", "boolean"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "boolean"),
    ],
)
def test_parse_body_names_the_place_and_what_was_found(change: dict[str, Any], param: str, words: str) -> None:
    """`param` is the place in the body; the message says what was expected and what was found."""
    error = _error_of(orjson.dumps({**GOOD, **change}))
    assert error.param == param
    assert error.message.startswith(f"{param}: ")
    assert words in error.message


def test_parse_body_names_a_missing_field() -> None:
    """A field that must be there is named; nothing was found, so nothing is shown."""
    error = _error_of(b"{}")
    assert error.param == "messages"
    assert error.message == "messages: this field is required."


def test_parse_body_counts_further_problems() -> None:
    """One problem is described, the others are counted."""
    error = _error_of(orjson.dumps({**GOOD, "temperature": "hot", "top_p": "high"}))
    assert "(1 more problem(s) in the body.)" in error.message


def test_parse_body_cuts_a_long_value() -> None:
    """A megabyte of somebody's text does not come back in the error."""
    assert len(_error_of(orjson.dumps({**GOOD, "temperature": "x" * 10_000})).message) < 300
