"""`megaservice doctor` against scripted providers: what it finds, what it says to do, and its exit code."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from megaservice.cli.main import main
from megaservice.cli.run_dir import RunDir
from megaservice.cli.services import SERVICES, Service
from megaservice.cli.stopping import stop_services
from megaservice.cli.supervisor import Supervisor
from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.network import find_free_port

KEY = "planted-doctor-key-0123"


@pytest.fixture(autouse=True)
def _own_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at ports and services of this test's own."""
    monkeypatch.setenv("MEGASERVICE_RUN_DIR", str(tmp_path / "run"))
    for definition in SERVICES:
        monkeypatch.setenv(definition.port_variables[0], str(find_free_port()))


async def _doctor(
    monkeypatch: pytest.MonkeyPatch, folder: Path, aliases: dict[str, Any], *options: str
) -> tuple[int, Path]:
    file = folder / "models.json"
    await asyncio.to_thread(file.write_text, json.dumps({"aliases": aliases}))
    monkeypatch.setenv("MODELS_FILE", str(file))
    return await asyncio.to_thread(main, ["doctor", *options]), file


def _lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


async def test_doctor_finds_nothing_wrong_with_what_ships(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0, and what was looked at."""
    aliases = {"phrasebook": {"provider": "embedded", "model": "phrasebook"}}
    code, _ = await _doctor(monkeypatch, tmp_path, aliases)
    lines = _lines(capsys)
    assert code == 0
    assert all(line.startswith("ok ") for line in lines)
    assert "ok keys: no provider in use needs one" in lines
    assert "ok model phrasebook: embedded: phrasebook.gguf" in lines


async def test_doctor_names_what_is_wrong_with_providers(
    scripted_upstream: UpstreamFactory,
    refused_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A missing key and library, a refused key, nobody there, no model pulled: each with its remedy, all at once."""
    monkeypatch.setitem(sys.modules, "litellm", None)
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    monkeypatch.setenv("STRICT_KEY", KEY)
    strict = await scripted_upstream(scripts.openai_error(401, f"wrong key {KEY}"))
    ollama = await scripted_upstream(scripts.answer(200, {"data": [{"id": "other:1b"}]}))
    aliases = {
        "fast": {"provider": "groq", "model": "llama-3.1-8b-instant"},
        "strict": {
            "provider": "openai_compatible",
            "model": "m",
            "base_url": f"{strict.url}/v1",
            "api_key_env": "STRICT_KEY",
        },
        "gone": {"provider": "openai_compatible", "model": "m", "base_url": f"{refused_url}/v1"},
        "pulled": {"provider": "ollama", "model": "other:1b", "base_url": ollama.url},
        "missing": {"provider": "ollama", "model": "llama3.2", "base_url": ollama.url},
    }
    code, _ = await _doctor(monkeypatch, tmp_path, aliases)
    lines = _lines(capsys)
    problems = [line for line in lines if line.startswith("problem ")]
    assert code == 1
    assert len(problems) == 5
    assert "alias 'fast' uses, needs GROQ_API_KEY: set it in the environment or in .env." in problems[0]
    assert "LiteLLM: it is not installed, and needed by groq (alias 'fast'). Do: " in problems[1]
    assert "refuses our API key (401). Correct STRICT_KEY." in problems[2]
    assert "model gone: " in problems[3]
    assert "cannot be reached" in problems[3]
    assert "has no model 'llama3.2'. Get it: ollama pull llama3.2 (or POST /api/pull" in problems[4]
    assert "ok model pulled: ollama answers" in lines
    assert strict.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert not any(KEY in line for line in lines)


async def test_doctor_asks_nobody_with_no_ping(
    refused_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What nobody was asked is no problem."""
    aliases = {"gone": {"provider": "openai_compatible", "model": "m", "base_url": f"{refused_url}/v1"}}
    code, _ = await _doctor(monkeypatch, tmp_path, aliases, "--no-ping", "--json")
    shown = json.loads(capsys.readouterr().out)
    assert (code, shown["ok"]) == (0, True)


async def test_doctor_tells_of_configuration_addresses_and_telemetry(
    refused_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Problems of models.json, an address nobody can call, and a collector that is not there: one line for each."""
    monkeypatch.setenv("LLM_SERVICE_HOST_IP", "0.0.0.0")  # noqa: S104 - what users write
    monkeypatch.setenv("TELEMETRY_ENDPOINT", f"{refused_url}/v1/traces")
    code, file = await _doctor(monkeypatch, tmp_path, {"x": {"provider": "grok", "model": "m"}})
    lines = _lines(capsys)
    assert code == 1
    assert any(line.startswith(f"problem settings: {file}") and "grok" in line for line in lines)
    assert any("LLM_SERVICE_HOST_IP is 0.0.0.0" in line and "Write 127.0.0.1" in line for line in lines)
    assert not any(line.startswith("problem pipelines: ") for line in lines)
    (collector,) = [line for line in lines if "TELEMETRY_ENDPOINT" in line]
    assert "nobody listens there" in collector or "This process runs in a container" in collector


async def test_doctor_tells_of_a_wrong_port_once_and_of_nothing_that_follows_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line for the variable, and it comes first; the pipelines whose addresses have it are not blamed."""
    monkeypatch.setenv("LLM_SERVICE_PORT", "abc")
    monkeypatch.setenv("LLM_ENDPOINT_PORT", "9000")
    aliases = {"phrasebook": {"provider": "embedded", "model": "phrasebook"}}
    code, _ = await _doctor(monkeypatch, tmp_path, aliases)
    lines = _lines(capsys)
    assert code == 1
    assert lines[0] == "problem settings: LLM_SERVICE_PORT is 'abc': a port number between 1 and 65535 is needed."
    assert all(line.startswith("ok ") for line in lines[1:])


async def test_doctor_tells_of_a_wrong_gateway_port_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The gateway's settings and the table of services have one variable, and one finding."""
    monkeypatch.setenv("MEGA_SERVICE_PORT", "abc")
    await _doctor(monkeypatch, tmp_path, {"phrasebook": {"provider": "embedded", "model": "phrasebook"}})
    assert sum("MEGA_SERVICE_PORT" in line for line in _lines(capsys)) == 1


async def test_doctor_says_one_thing_of_a_telemetry_endpoint_that_nobody_can_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That nobody listens there follows from the address."""
    monkeypatch.setenv("TELEMETRY_ENDPOINT", f"http://0.0.0.0:{find_free_port()}")
    await _doctor(monkeypatch, tmp_path, {"phrasebook": {"provider": "embedded", "model": "phrasebook"}})
    (line,) = [line for line in _lines(capsys) if "TELEMETRY_ENDPOINT" in line]
    assert line.startswith("problem addresses: ")


@pytest.fixture
def _running_services(tmp_path: Path) -> Iterator[None]:
    """Run two services that are none, under the names of ours."""
    run_dir = RunDir(tmp_path / "run")
    run_dir.make()
    ports = {name: find_free_port() for name in ("llm", "retriever")}
    services = [
        Service(name, ("http.server", str(port), "--bind", "127.0.0.1"), "127.0.0.1", port, "PORT")
        for name, port in ports.items()
    ]
    supervisor = Supervisor(run_dir)
    supervisor.start(services)
    try:
        for service in services:
            supervisor.start_process(service.name)
        yield
    finally:
        stop_services(run_dir)


@pytest.mark.usefixtures("_running_services")
def test_doctor_tells_of_files_that_changed_after_the_services_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a service reads at its start it does not know anew; what did not change is not mentioned."""
    aliases = {"phrasebook": {"provider": "embedded", "model": "phrasebook"}}
    models, variables = tmp_path / "models.json", tmp_path / "variables"
    models.write_text(json.dumps({"aliases": aliases}))
    variables.write_text(f"MODELS_FILE={models}\n")
    monkeypatch.setenv("MEGASERVICE_ENV_FILE", str(variables))
    started = time.time()
    shown = []
    for models_at, variables_at in ((-60, -60), (60, -60), (-60, 60)):
        os.utime(models, (started, started + models_at))
        os.utime(variables, (started, started + variables_at))
        main(["doctor", "--no-ping"])
        shown.append([line for line in _lines(capsys) if line.startswith("warning")])
    remedy = "started: `make down up` takes it over."
    assert shown == [
        [],
        [f"warning models.json: models.json was changed after the llm service {remedy}"],
        [f"warning variables: variables was changed after the services llm and retriever {remedy}"],
    ]
