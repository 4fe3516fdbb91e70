"""OpenAI's SDKs against the assistants: the installed one, and the newest of Python and Node, all unchanged."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.assistants import assistants_at
from tests.support.scripted_gateway import gateway
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.sdk_environments import SDK_FOLDER, newest_node_sdk, newest_python_sdk, node_command, run_flows

#: The first time the newest SDKs are installed; later this is a few seconds.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="session")
def newest_python() -> Path:
    """Give an interpreter with the newest Python SDK."""
    return newest_python_sdk()


@pytest.fixture(scope="session")
def newest_node() -> Path:
    """Give the folder of the newest Node SDK."""
    return newest_node_sdk()


async def _serve_and_run(command: list[str], folder: Path) -> str:
    async with ScriptedUpstream(gateway) as upstream, assistants_at(folder, upstream.openai_url) as url:
        return await run_flows([*command, f"{url}/v1"])


async def test_assistants_serve_the_installed_python_sdk(tmp_path: Path) -> None:
    """Every flow of the older major: two majors talk to the same server."""
    script = str(SDK_FOLDER / "assistants_flows.py")
    assert "openai 2." in await _serve_and_run([sys.executable, "-W", "ignore", script], tmp_path)


async def test_assistants_serve_the_newest_python_sdk(newest_python: Path, tmp_path: Path) -> None:
    """Every flow of the newest major."""
    script = str(SDK_FOLDER / "assistants_flows.py")
    assert "openai 3." in await _serve_and_run([str(newest_python), "-W", "ignore", script], tmp_path)


@pytest.mark.usefixtures("newest_node")
async def test_assistants_serve_the_newest_node_sdk(tmp_path: Path) -> None:
    """Every flow of the Node SDK."""
    command = node_command(SDK_FOLDER / "assistants_flows.mjs", tmp_path)
    assert "errors" in await _serve_and_run(command, tmp_path / "data")
