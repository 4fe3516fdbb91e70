"""A message without content is refused by the gateway itself, on every route that takes messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.gateway import CHAT, GRADED, ask, running_gateway


async def test_message_without_content_is_our_own_400(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """No upstream is asked, so none can answer in words of its own."""
    llm = await scripted_upstream(scripts.completion("Ciao!"))
    async with running_gateway(tmp_path, llm_url=llm.url) as url:
        for path in (CHAT, GRADED, "/chat"):
            response = await ask(url + path, messages=[{"role": "user"}])
            error = response.json()["error"]
            assert (response.status_code, error["param"]) == (400, "messages[0].content")
            assert error["message"].startswith("messages[0].content: expected a string or a list of parts in a user ")
    assert llm.requests == []


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f"}}]},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "user", "content": ""},
    ],
)
async def test_message_that_calls_instead_needs_no_content(
    message: dict[str, Any], scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """An assistant's call stands in the content's place, and an empty text is a text."""
    llm = await scripted_upstream(scripts.completion("Ciao!"))
    async with running_gateway(tmp_path, llm_url=llm.url) as url:
        response = await ask(url + CHAT, messages=[message, {"role": "user", "content": "Hello"}])
    assert response.status_code == 200
    assert llm.requests[0].json["messages"][0] == message
