"""What a service with engines checks before it starts: what stops it, what only warns, and what it says to do."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from servicekit.checks.addresses import check_variables
from servicekit.checks.findings import Verdict
from servicekit.checks.in_use import DeploymentInUse
from servicekit.checks.other_side import advice_for, runs_in_container
from servicekit.checks.pings import ping_providers
from servicekit.checks.start import StartChecks, check_before_start, wants_pings
from servicekit.errors import ConfigurationError
from servicekit.http.client import Timeouts
from servicekit.model_loading import load_catalog
from servicekit.models import Deployment
from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.network import find_free_port

LISTED = scripts.answer(200, {"object": "list", "data": [{"id": "there"}]})
KEY = "planted-start-key-0123"


async def started(folder: Path, aliases: dict[str, Any], port: int | None = None, **how: bool) -> tuple[str, ...]:
    """Return the problems that stop a start with these aliases; nothing if it goes on."""
    path = folder / "models.json"
    await asyncio.to_thread(path.write_text, json.dumps({"aliases": aliases}))
    checks = StartChecks(lambda: load_catalog(path), "127.0.0.1", [port or find_free_port()], **how)
    try:
        await asyncio.to_thread(check_before_start, checks)
    except ConfigurationError as exc:
        return exc.problems
    return ()


def server(url: str, **more: Any) -> dict[str, Any]:
    """Return an alias of an OpenAI-compatible server."""
    return {"provider": "openai_compatible", "model": "there", "base_url": f"{url}/v1", **more}


@pytest.fixture
def litellm_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the library found, also where it is not installed; the checks do not import it."""
    package = tmp_path / "site" / "litellm"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(package.parent))


@pytest.mark.usefixtures("litellm_installed")
async def test_every_problem_is_told_at_once(
    scripted_upstream: UpstreamFactory, refused_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A taken port, a missing key, a missing file, 0.0.0.0, itself, nobody there, a refused key, a broken server."""
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    monkeypatch.setenv("STRICT_KEY", KEY)
    strict = await scripted_upstream(scripts.openai_error(401, f"wrong key {KEY}"))
    broken = await scripted_upstream(scripts.openai_error(500))
    fine = await scripted_upstream(LISTED)
    problems = await started(
        tmp_path,
        {
            "fast": {"provider": "groq", "model": "llama"},
            "file": {"provider": "embedded", "model": "my/missing.gguf"},
            "any": server("http://0.0.0.0:11434"),
            "self": server(fine.url),
            "gone": server(refused_url),
            "strict": server(strict.url, api_key_env="STRICT_KEY"),
            "broken": server(broken.url),
        },
        port=fine.port,  # taken, and the address of one of the aliases
    )
    words = [
        f"ports: Port {fine.port} on 127.0.0.1 is already in use",
        "alias 'fast' uses, needs GROQ_API_KEY: set it in the environment or in .env.",
        "model file: there is no file",
        "model any: its address is http://0.0.0.0:11434/v1: that is an address to listen on, not one to call.",
        "which is this service itself",
        "model gone: openai_compatible, which alias 'gone' uses,",
        "refuses our API key (401). Correct STRICT_KEY.",
        "answers 500. Look at its log.",
    ]
    assert len(problems) == len(words)
    for problem, wanted in zip(problems, words, strict=True):
        assert wanted in problem
    assert KEY not in str(problems)


async def test_no_ping_asks_nobody(refused_url: str, tmp_path: Path) -> None:
    """A provider that is down does not stop the start then."""
    assert await started(tmp_path, {"gone": server(refused_url)}, ping=False) == ()


async def test_a_spare_that_is_down_is_a_warning(
    scripted_upstream: UpstreamFactory, refused_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who has another deployment or a fallback answers without it; a refused key stops the start all the same."""
    fine = await scripted_upstream(LISTED)
    strict = await scripted_upstream(scripts.openai_error(403))
    group = {"deployments": [server(refused_url), server(fine.url)]}
    assert await started(tmp_path, {"group": group, "alone": server(fine.url)}) == ()
    assert "Until it answers, the alias's others do." in caplog.text
    (problem,) = await started(tmp_path, {"a": server(strict.url, fallback="b"), "b": server(fine.url)})
    assert "Name its key by api_key_env." in problem


@pytest.mark.parametrize("names_it", [True, False], ids=["provider ollama", "an Ollama by URL"])
async def test_a_model_that_is_not_pulled_is_a_warning_with_the_command(
    scripted_upstream: UpstreamFactory, tmp_path: Path, caplog: pytest.LogCaptureFixture, names_it: bool
) -> None:
    """The service's own `/api/pull` is the remedy, so it starts."""
    ollama = await scripted_upstream(
        scripts.answer(200, {"object": "list", "data": None}), scripts.answer(200, {"version": "0.9.0"})
    )
    alias = {"provider": "ollama", "model": "llama3.2:1b", "base_url": ollama.url}
    by_url = {**server(ollama.url), "model": "llama3.2:1b"}
    assert await started(tmp_path, {"small": alias if names_it else by_url}) == ()
    assert "has no model 'llama3.2:1b'. Get it: ollama pull llama3.2:1b (or POST /api/pull" in caplog.text


async def test_a_server_that_lists_others_is_a_warning(
    scripted_upstream: UpstreamFactory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Some servers take any name."""
    other = await scripted_upstream(LISTED, scripts.answer(404))
    assert await started(tmp_path, {"big": {**server(other.url), "model": "Qwen"}}) == ()
    assert "does not list a model 'Qwen', but there." in caplog.text


async def test_the_grader_looks_only_at_what_it_uses(
    scripted_upstream: UpstreamFactory, refused_url: str, tmp_path: Path
) -> None:
    """The default and its fallbacks; what other aliases need is the LLM service's to say."""
    fine = await scripted_upstream(LISTED)
    aliases = {"mine": server(fine.url), "gone": server(refused_url)}
    assert await started(tmp_path, aliases, default_only=True) == ()
    assert len(await started(tmp_path, aliases)) == 1


async def test_a_missing_library_is_told_with_the_key_and_the_provider(
    refused_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One start tells of all three; the library once, with the command that installs it."""
    monkeypatch.setitem(sys.modules, "litellm", None)
    monkeypatch.delenv("FIREWORKS_AI_API_KEY", raising=False)
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    groq = {"provider": "groq", "model": "llama", "base_url": f"{refused_url}/v1"}
    problems = await started(tmp_path, {"fast": groq, "other": {"provider": "fireworks_ai", "model": "m"}})
    words = [
        "alias 'other' uses, needs FIREWORKS_AI_API_KEY",
        "LiteLLM: it is not installed, and needed by groq (alias 'fast'), fireworks_ai (alias 'other'). "
        "Do: .venv/bin/python -m pip install",
        "model fast: groq, which alias 'fast' uses,",
    ]
    assert len(problems) == len(words)
    assert all(wanted in problem for problem, wanted in zip(problems, words, strict=True))


async def test_no_problem_of_an_address_shows_its_password(refused_url: str, tmp_path: Path) -> None:
    """Whether nobody answers there, or it is none to call."""
    urls = (refused_url, "http://0.0.0.0:1")
    aliases = {f"a{index}": server(url.replace("://", "://user:hidden@")) for index, url in enumerate(urls)}
    problems = await started(tmp_path, aliases)
    assert len(problems) == 2
    assert all("http://***@" in problem and "hidden" not in problem for problem in problems)


@pytest.mark.usefixtures("litellm_installed")
async def test_litellm_s_providers_are_asked_for_their_models(
    scripted_upstream: UpstreamFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the key, without importing the library; what is not listed there may be there."""
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    groq = await scripted_upstream(LISTED)
    alias = {"provider": "groq", "model": "llama", "base_url": groq.openai_url}
    assert await started(tmp_path, {"fast": alias}) == ()
    assert (groq.requests[0].path, groq.requests[0].headers["authorization"]) == ("/v1/models", f"Bearer {KEY}")


async def test_pings_go_out_together_and_not_for_ever(scripted_upstream: UpstreamFactory) -> None:
    """Silent servers are left after the time-out, all at the same time."""
    silent = [await scripted_upstream(scripts.silence()) for _ in range(5)]
    deployments = [Deployment.model_validate(server(one.url)) for one in silent]
    bounds = Timeouts(total_seconds=0.4)
    async with asyncio.timeout(1.5):
        uses = [DeploymentInUse(str(index), item, False) for index, item in enumerate(deployments)]
        findings = await ping_providers(uses, {"container": "docker"}, timeouts=bounds)
    assert ["time-out of 0.4 s ran out" in finding.message for finding in findings] == [True] * 5


async def test_in_a_container_localhost_is_explained(
    refused_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine around it has another name there."""
    monkeypatch.setenv("container", "podman")
    (problem,) = await started(tmp_path, {"host": server(refused_url)})
    port = refused_url.rsplit(":", 1)[1]
    assert f"A program on the machine around it is http://host.docker.internal:{port}" in problem


async def test_on_the_machine_a_compose_name_is_explained() -> None:
    """Only containers know service names."""
    advice = await advice_for("http://ollama-nowhere:11434/v1", in_container=False)
    assert "The name 'ollama-nowhere' is not known on this machine" in advice
    assert "with `8008:11434` under the ports of 'ollama-nowhere' that is 8008" in advice


@contextmanager
def listening(host: str, port: int) -> Iterator[None]:
    """Listen on a port of a loopback address that nothing else uses."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
        yield


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.1 is the only loopback address")
async def test_the_two_ports_of_a_container_are_told_apart() -> None:
    """9000 is inside, 9009 outside: where somebody listens on the other one, that is said, from both sides."""
    with listening("127.0.0.77", 9009):
        advice = await advice_for("http://127.0.0.77:9000/v1", in_container=False)
    assert "9000 is the port of OPEA's LLM microservice inside the container" in advice
    assert "Something listens on 127.0.0.77:9009: is that meant?" in advice
    with listening("127.0.0.78", 11434):
        advice = await advice_for("http://127.0.0.78:8008/v1", in_container=True)
    assert "not the published 8008: something listens on 127.0.0.78:11434. Is that meant?" in advice
    assert await advice_for("http://127.0.0.79:4711", in_container=False) == ""


def test_a_container_is_recognised(tmp_path: Path) -> None:
    """By the files of Docker and Podman, and by the variables of Podman and Kubernetes."""
    assert not runs_in_container({}, tmp_path)
    assert runs_in_container({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path)
    (tmp_path / ".dockerenv").touch()
    assert runs_in_container({}, tmp_path)


def test_variables_with_addresses_are_looked_at(refused_url: str) -> None:
    """0.0.0.0 as a target, a container's localhost where nobody listens, a name of the compose network."""
    found = [*check_variables({"LLM_SERVICE_HOST_IP": "0.0.0.0", "HOST_IP": "127.0.0.1"}, in_container=True)]  # noqa: S104
    found += check_variables({"LLM_ENDPOINT": refused_url}, in_container=True)
    found += check_variables({"LLM_SERVER_HOST_IP": "llm-nowhere", "LLM_ENDPOINT": refused_url}, in_container=False)
    words = ["LLM_SERVICE_HOST_IP is 0.0.0.0", "http://host.docker.internal:", "'llm-nowhere' is not known"]
    assert [finding.verdict for finding in found] == [Verdict.PROBLEM] * 3
    assert all(wanted in finding.message for wanted, finding in zip(words, found, strict=True))


async def test_a_telemetry_endpoint_without_a_listener_is_a_warning(
    refused_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Traces are lost, answers are not."""
    monkeypatch.setenv("TELEMETRY_ENDPOINT", f"{refused_url}/v1/traces")
    with caplog.at_level(logging.WARNING):
        assert await started(tmp_path, {"own": {"provider": "embedded", "model": "phrasebook"}}) == ()
    assert "nobody listens there; traces are lost." in caplog.text


def test_wants_pings_knows_one_option(capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped option is exit code 2."""
    assert wants_pings("microservices.llm", [])
    assert not wants_pings("microservices.llm", ["--no-ping"])
    with pytest.raises(SystemExit) as caught:
        wants_pings("microservices.llm", ["--no-pings"])
    assert caught.value.code == 2
    assert "unrecognized arguments: --no-pings" in capsys.readouterr().err
