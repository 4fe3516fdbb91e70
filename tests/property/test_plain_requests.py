"""The quick check of a request lets nothing through that the whole one would refuse."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from servicekit.openai.chat import ChatRequest, is_plain_request

_ANY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.text(max_size=3),
    st.just([]),
    st.just({}),
    st.just([{"type": "text"}]),
)
_ROLES: st.SearchStrategy[Any] = st.sampled_from(
    ["system", "developer", "user", "assistant", "tool", "function", "User", "", None, 1, []]
)
_MESSAGE = st.one_of(
    _ANY,
    st.fixed_dictionaries({}, optional={"role": _ROLES, "content": _ANY, "name": _ANY}),
    st.fixed_dictionaries({"role": _ROLES, "content": st.text(max_size=3)}),
)
_BODY = st.fixed_dictionaries(
    {}, optional={"messages": st.one_of(_ANY, st.lists(_MESSAGE, max_size=3)), "model": _ANY, "stream": _ANY, "n": _ANY}
)


def _is_accepted(body: dict[str, Any]) -> bool:
    try:
        ChatRequest.model_validate(body)
    except ValidationError:
        return False
    return True


@given(_BODY)
def test_plain_request_is_one_that_the_whole_check_accepts(body: dict[str, Any]) -> None:
    """Whatever JSON comes."""
    decoded = orjson.loads(orjson.dumps(body))
    assert not is_plain_request(decoded) or _is_accepted(decoded)


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool", "function"])
def test_usual_request_is_plain_whoever_speaks(role: str) -> None:
    """Else the quick way would serve nobody."""
    messages = [{"role": role, "content": "Hello"}, {"role": "user", "content": ""}]
    assert is_plain_request({"messages": messages})
    assert is_plain_request({"messages": messages, "model": "m", "stream": True})
    assert not is_plain_request({"messages": messages, "temperature": 0})
