"""A client of Ollama's API that leaves in the middle of a stream."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import UpstreamFactory
from tests.support.llm import llm_before
from tests.support.scripts import MODEL, STALL, openai_events, stream


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/api/pull"])
async def test_a_client_that_leaves_cancels_the_upstreams_work(
    scripted_upstream: UpstreamFactory, tmp_path: Path, path: str
) -> None:
    """Within a moment, whatever the line that it waits for."""
    first = b'{"status":"pulling"}\n' if path == "/api/pull" else openai_events(["Ciao"])[0]
    upstream = await scripted_upstream(stream(first, STALL))
    asked = {"model": MODEL, "prompt": "Hello", "messages": [{"role": "user", "content": "Hello"}]}
    async with llm_before(upstream.url, tmp_path) as client:
        async with client.stream("POST", path, json=asked) as response:
            assert response.status_code == 200
            await anext(response.aiter_lines())
        await upstream.wait_until_idle()
    assert upstream.requests[0].client_left_at is not None
