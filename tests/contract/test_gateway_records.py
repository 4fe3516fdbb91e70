"""The gateway's run records: what each request leaves in `runs/`, and what never gets there."""

from __future__ import annotations

import asyncio
import json
import platform
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.gateway import CHAT, GRADE, GRADED, GREETING, ask, ask_stream, running_gateway
from tests.support.scripted_upstream import Reply

PLANTED = "sk-planted-0123456789"


async def _either(reply: Reply) -> None:
    stream = reply.request.json.get("stream")
    await (scripts.openai_stream(["Ciao", "!"]) if stream else scripts.completion("Ciao!"))(reply)


def _records(runs: Path) -> list[dict[str, Any]]:
    (run,) = runs.iterdir()
    return [json.loads(line) for line in (run / "interactions.jsonl").read_text("utf-8").splitlines()]


async def _read(runs: Path) -> list[dict[str, Any]]:
    return await asyncio.to_thread(_records, runs)


@pytest.mark.parametrize("stream", [False, True])
async def test_record_tells_model_provider_usage_grade_and_latency(
    stream: bool, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """One line a request, in JSON mode and for streams, whether or not the client asked for usage."""
    llm, grader = await scripted_upstream(_either), await scripted_upstream(scripts.answer(200, GRADE))
    runs = tmp_path / "runs"
    async with running_gateway(tmp_path, llm_url=llm.url, grader_url=grader.url, runs_dir=runs) as url:
        for path in (CHAT, GRADED):
            response = await ask(url + path, model="short-name", stream=stream)
            assert response.status_code == 200
    plain, graded = await _read(runs)
    assert (plain["pipeline"], graded["pipeline"]) == ("chat", "graded")
    assert (plain["grade"], graded["grade"]) == (None, {"score": 0.9})
    assert graded["request_id"] == response.headers["x-request-id"]
    for record in (plain, graded):
        assert (record["model"], record["provider"]) == ("scripted-model", "openai_compatible")
        assert (record["usage"], record["status"], record["error"]) == (scripts.USAGE, "succeeded", None)
        assert record["latency_ms"] > 0
        assert record["stream"] is stream
        assert (record["ttft_ms"] is not None and 0 < record["ttft_ms"] <= record["latency_ms"]) is stream
        assert "messages" not in record


async def test_record_holds_messages_only_where_asked(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """With LOG_MESSAGES the conversation and the answer are there; without, no word of them."""
    llm, grader = await scripted_upstream(_either), await scripted_upstream(scripts.answer(200, GRADE))
    for log_messages in (True, False):
        runs = tmp_path / str(log_messages)
        async with running_gateway(
            tmp_path, llm_url=llm.url, grader_url=grader.url, runs_dir=runs, log_messages=log_messages
        ) as url:
            await ask(url + GRADED)
            await ask_stream(url + CHAT)
        text = await asyncio.to_thread(next(runs.glob("*/interactions.jsonl")).read_text)
        words = [word in text for word in (GREETING[0]["content"], "Ciao!", "Faithful.")]
        assert words == [log_messages] * 3


async def test_record_of_failures_and_of_clients_that_leave(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """A refusal, a stream that breaks and a client that leaves: each with its status, and code where it has one."""
    broken = scripts.stream(scripts.openai_events(["Ciao"])[0], scripts.CUT)
    llm = await scripted_upstream(scripts.openai_error(400, "Sky"), broken, scripts.silence())
    runs = tmp_path / "runs"
    async with running_gateway(tmp_path, llm_url=llm.url, runs_dir=runs) as url:
        await ask(url + CHAT)
        await ask_stream(url + CHAT)
        async with httpx.AsyncClient(timeout=0.3, trust_env=False) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.post(url + CHAT, json={"messages": GREETING})
        await llm.wait_until_idle()
    refused, cut, left = await _read(runs)
    assert (refused["status"], refused["error"]) == ("failed", {"code": "invalid_value"})
    assert (cut["status"], cut["error"]["code"]) == ("failed", "upstream_bad_response")
    assert (left["status"], left["error"]) == ("cancelled", None)


async def test_manifest_tells_what_ran_without_secrets(
    scripted_upstream: UpstreamFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commit, Python, packages and settings; keys and the user info of URLs are masked."""
    monkeypatch.setenv("API_KEYS", PLANTED)
    monkeypatch.setenv("LLM_MODEL_ID", "scripted-model")
    monkeypatch.setenv("LLM_ENDPOINT", "http://user:hidden-word@127.0.0.1:1")
    llm = await scripted_upstream(_either)
    runs = tmp_path / "runs"
    async with running_gateway(tmp_path, llm_url=llm.url, runs_dir=runs) as url:
        await ask(url + CHAT, headers={"authorization": f"Bearer {PLANTED}"})
    text = await asyncio.to_thread(next(runs.glob("*/manifest.json")).read_text)
    manifest = json.loads(text)
    assert len(manifest["git_sha"]) == 40
    assert manifest["python"] == platform.python_version()
    assert manifest["dependencies"]["fastapi"]
    assert manifest["config"]["request_timeout_seconds"] == 600
    assert PLANTED not in text
    assert "hidden-word" not in text


async def test_no_folder_without_requests_or_with_an_empty_setting(
    scripted_upstream: UpstreamFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that nobody asked leaves nothing; `RUNS_DIR=` switches the records off."""
    llm = await scripted_upstream(_either)
    async with running_gateway(tmp_path, llm_url=llm.url, runs_dir=tmp_path / "runs"):
        pass
    monkeypatch.setenv("RUNS_DIR", "")
    async with running_gateway(tmp_path, llm_url=llm.url) as url:
        assert (await ask(url + CHAT)).status_code == 200
    assert not (tmp_path / "runs").exists()


async def test_folder_that_cannot_be_made_fails_no_request(
    scripted_upstream: UpstreamFactory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so once; the requests are answered."""
    llm = await scripted_upstream(_either)
    blocked = tmp_path / "file"
    await asyncio.to_thread(blocked.write_text, "no folder")
    async with running_gateway(tmp_path, llm_url=llm.url, runs_dir=blocked) as url:
        answers = [(await ask(url + CHAT)).status_code for _ in range(3)]
    assert answers == [200] * 3
    assert caplog.text.count("records cannot be written") == 1
    assert "3 records were dropped" in caplog.text
