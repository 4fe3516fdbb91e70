"""Starts of the real processes: refused with a message, not asked, and after a download from a loopback hub."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from servicekit.models import BUNDLED_MODELS
from tests.support.hub import Hub, reference, serving_hub
from tests.support.network import find_free_port
from tests.support.processes import running_service, start_process

MODULES = {"microservices.llm": "LLM_SERVICE_PORT", "microservices.grader": "GRADER_SERVICE_PORT"}


def models(folder: Path, **aliases: Mapping[str, object]) -> dict[str, str]:
    """Write models.json and return the variable that names it."""
    path = folder / "models.json"
    path.write_text(json.dumps({"aliases": aliases}))
    return {"MODELS_FILE": str(path)}


def run(module: str, folder: Path, variables: Mapping[str, str], *options: str) -> tuple[int, str]:
    """Run a service that will not start; returns its exit code and what it wrote."""
    environment = {MODULES[module]: str(find_free_port()), **variables}
    process = start_process("-m", module, *options, log_path=folder / "log", environment=environment)
    return process.wait(), process.log


@pytest.mark.parametrize("module", MODULES)
def test_a_service_does_not_start_with_a_provider_that_is_down(tmp_path: Path, refused_url: str, module: str) -> None:
    """Exit code 2 and the sentence, without a traceback."""
    variables = models(tmp_path, gone={"provider": "ollama", "model": "llama3.2:1b", "base_url": refused_url})
    code, log = run(module, tmp_path, variables)
    assert code == 2
    assert f"error: model gone: ollama, which alias 'gone' uses, at {refused_url}/v1/models cannot be reached" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(("option", "variable"), [("--no-ping", {}), ("", {"PING_PROVIDERS": "false"})])
def test_a_service_that_asks_nobody_starts_without_its_provider(
    tmp_path: Path, refused_url: str, option: str, variable: dict[str, str]
) -> None:
    """It is not ready, and says why."""
    port = find_free_port()
    variables = models(tmp_path, gone={"provider": "ollama", "model": "m", "base_url": refused_url})
    options = [option] if option else []
    service = start_process(
        *("-m", "microservices.llm", *options),
        log_path=tmp_path / "log",
        port=port,
        environment={"LLM_SERVICE_PORT": str(port), **variables, **variable},
    )
    try:
        service.wait_until_ready("/health")
        found = httpx.get(f"{service.url}/ready", trust_env=False, timeout=10)
        assert (found.status_code, "cannot be reached" in found.text) == (503, True)
    finally:
        assert service.stop() == 0


async def test_a_model_of_hugging_face_is_fetched_and_served(tmp_path: Path) -> None:
    """A real GGUF from a loopback hub: in the cache, loaded by llama.cpp, answering under its file's name."""
    content = await asyncio.to_thread(BUNDLED_MODELS["phrasebook"].read_bytes)
    async with serving_hub(Hub(content, cuts_after=[1_000_000])) as hub:
        named = models(tmp_path, tiny={"provider": "embedded", "model": str(reference())})
        variables = {**named, "HF_ENDPOINT": hub.url, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        answer, log = await asyncio.to_thread(_ask_once, tmp_path, variables)
    assert answer["model"] == "tiny-q4_k_m"
    assert answer["choices"][0]["message"]["content"]
    assert "model hf:maker/Tiny-GGUF/tiny-q4_k_m.gguf is fetched from Hugging Face into" in log
    assert "MB" in log
    assert hub.fetches == ["", "bytes=1000000-"]


def _ask_once(folder: Path, variables: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    with running_service(
        "microservices.llm", port_variable="LLM_SERVICE_PORT", log_folder=folder, environment=variables
    ) as llm:
        body = {"model": "tiny", "messages": "Hello!", "max_tokens": 8}
        answer = httpx.post(f"{llm.url}/v1/chat/completions", json=body, trust_env=False, timeout=20)
        return answer.json(), llm.log


async def test_no_network_ends_the_start_with_what_to_do(tmp_path: Path, refused_url: str) -> None:
    """Where the file may be put by hand."""
    named = models(tmp_path, tiny={"provider": "embedded", "model": str(reference())})
    variables = {**named, "HF_ENDPOINT": refused_url, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    code, log = await asyncio.to_thread(run, "microservices.llm", tmp_path, variables)
    assert code == 2
    assert f"put it at {tmp_path}/cache/megaservice/models/maker/Tiny-GGUF/main/tiny-q4_k_m.gguf" in log
