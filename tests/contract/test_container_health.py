"""The health check of our containers, against servers that are ready, not ready, and not there."""

from __future__ import annotations

import asyncio
import os
import sys
from urllib.parse import urlsplit

import pytest

from servicekit.environment import PROJECT_ROOT
from tests.conftest import UpstreamFactory
from tests.support.scripts import answer, close_without_answer


async def _check(port: int) -> tuple[int | None, str]:
    """Run the check as Docker does; return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scripts.container_health", str(port)),
        cwd=PROJECT_ROOT,
        env={**os.environ, "http_proxy": "http://127.0.0.1:1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()


async def test_container_health_is_good_when_the_service_is_ready(scripted_upstream: UpstreamFactory) -> None:
    """It asks the service itself, whatever proxy the environment names."""
    upstream = await scripted_upstream(answer(200, {"status": "ready"}))
    assert await _check(upstream.port) == (0, '{"status":"ready"}\n')
    assert [request.path for request in upstream.requests] == ["/ready"]


async def test_container_health_shows_why_a_service_is_not_ready(scripted_upstream: UpstreamFactory) -> None:
    """`docker inspect` has the sentence then."""
    upstream = await scripted_upstream(answer(503, {"status": "not ready", "problems": ["Ollama is not there."]}))
    code, out = await _check(upstream.port)
    assert code == 1
    assert "Ollama is not there." in out


@pytest.mark.parametrize("is_listening", [True, False], ids=["closes", "refuses"])
async def test_container_health_is_bad_when_nobody_answers(
    is_listening: bool, scripted_upstream: UpstreamFactory, refused_url: str
) -> None:
    """In one line, without a traceback."""
    upstream = await scripted_upstream(close_without_answer())
    port = upstream.port if is_listening else urlsplit(refused_url).port
    assert port is not None
    code, out = await _check(port)
    assert code == 1
    assert out.startswith(f"port {port} does not answer: ")
    assert out.count("\n") == 1
