"""The job that pulls the models in use, against a scripted Ollama."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from scripts import pull_models
from tests.conftest import UpstreamFactory
from tests.support.scripted_upstream import Script, ScriptedUpstream
from tests.support.scripts import CUT, answer, stream

NAME = "llama3.2:1b"


def _tags(*names: str) -> Script:
    return answer(200, {"models": [{"name": name} for name in names]})


def _lines(*lines: dict[str, object]) -> Script:
    return stream(*(orjson.dumps(line) + b"\n" for line in lines), content_type="application/x-ndjson")


async def _run(upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, **variables: str) -> int:
    """Run the job for services that are told to use this Ollama."""
    told = {"LLM_ENDPOINT": upstream.url, "LLM_MODEL_ID": NAME}
    told |= {"GRADER_LLM_ENDPOINT": upstream.url, "GRADER_MODEL_ID": NAME} | variables
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    return await asyncio.to_thread(pull_models.main, [upstream.url], 0.01)


async def test_pull_models_fetches_what_is_not_there_and_tells_how_far_it_is(
    scripted_upstream: UpstreamFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One model of both services is pulled once."""
    layer = {"status": "pulling 74701a8c35f6", "total": 1_321_000_000, "completed": 660_500_000}
    pulled = _lines({"status": "pulling manifest"}, layer, layer, {"status": "success"})
    upstream = await scripted_upstream(_tags("other:latest"), pulled)
    assert await _run(upstream, monkeypatch) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{NAME}: pulling manifest",
        f"{NAME}: pulling 74701a8c35f6 (50% of 1,321 MB)",
        f"{NAME}: success",
        f"{NAME} is there now",
    ]
    assert [(request.path, request.body and request.json["model"]) for request in upstream.requests] == [
        ("/api/tags", b""),
        ("/api/pull", NAME),
    ]


@pytest.mark.parametrize(("wanted", "there"), [(NAME, NAME), ("qwen2.5", "qwen2.5:latest")], ids=["tag", "no-tag"])
async def test_pull_models_leaves_alone_what_is_there(
    wanted: str, there: str, scripted_upstream: UpstreamFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that containers start again without a network."""
    upstream = await scripted_upstream(_tags(there))
    assert await _run(upstream, monkeypatch, LLM_MODEL_ID=wanted, GRADER_MODEL_ID=wanted) == 0
    assert [request.path for request in upstream.requests] == ["/api/tags"]


async def test_pull_models_fetches_the_judge_as_well(
    scripted_upstream: UpstreamFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the grader has a model of its own."""
    upstream = await scripted_upstream(_tags(NAME), _tags(NAME), _lines({"status": "success"}))
    assert await _run(upstream, monkeypatch, GRADER_MODEL_ID="qwen2.5:7b") == 0
    assert upstream.requests[-1].json["model"] == "qwen2.5:7b"


async def test_pull_models_has_nothing_to_do_for_models_elsewhere(
    scripted_upstream: UpstreamFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An LLM_ENDPOINT of another machine is not this Ollama's business."""
    upstream = await scripted_upstream(_tags())
    elsewhere = "http://gpu-box:8000"
    assert await _run(upstream, monkeypatch, LLM_ENDPOINT=elsewhere, GRADER_LLM_ENDPOINT=elsewhere) == 0
    assert "nothing to pull" in capsys.readouterr().out
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("pull model manifest: file does not exist", "https://ollama.com/library"),
        ("dial tcp: lookup registry.ollama.ai: no such host", "https_proxy"),
        ("write: no space left on device", "docker system df"),
    ],
    ids=["unknown", "network", "disk"],
)
async def test_pull_models_that_fails_says_why_in_its_last_line(
    error: str,
    advice: str,
    scripted_upstream: UpstreamFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With Ollama's words and what to do about it; others do not start then."""
    upstream = await scripted_upstream(_tags(), _lines({"status": "pulling manifest"}, {"error": error}))
    assert await _run(upstream, monkeypatch) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("error: ")
    assert error in last
    assert advice in last


async def test_pull_models_tries_again_when_the_connection_breaks(
    scripted_upstream: UpstreamFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ollama goes on where it was."""
    begun = orjson.dumps({"status": "pulling manifest"}) + b"\n"
    cut = stream(begun, CUT, content_type="application/x-ndjson")
    upstream = await scripted_upstream(_tags(), cut, _lines({"status": "success"}))
    assert await _run(upstream, monkeypatch) == 0
    out = capsys.readouterr().out
    assert "try 2 of 3" in out
    assert out.endswith(f"{NAME} is there now\n")


async def test_pull_models_gives_up_after_the_third_try(
    scripted_upstream: UpstreamFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A connection that breaks every time is told like any other failure."""
    cut = stream(orjson.dumps({"status": "pulling manifest"}) + b"\n", CUT, content_type="application/x-ndjson")
    upstream = await scripted_upstream(_tags(), cut)
    assert await _run(upstream, monkeypatch) == 1
    assert len(upstream.requests) == 4
    assert capsys.readouterr().out.splitlines()[-1].startswith("error: ")


async def test_pull_models_names_an_ollama_that_is_not_there(
    refused_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its address."""
    monkeypatch.setenv("LLM_ENDPOINT", refused_url)
    monkeypatch.setenv("LLM_MODEL_ID", NAME)
    assert await asyncio.to_thread(pull_models.main, [refused_url], 0.01) == 1
    assert f"Ollama at {refused_url}/api/tags" in capsys.readouterr().out


async def test_pull_models_refuses_an_answer_that_is_not_ollamas(
    scripted_upstream: UpstreamFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sentence, no traceback."""
    upstream = await scripted_upstream(answer(200, {"detail": "hello"}))
    assert await _run(upstream, monkeypatch) == 1
    assert "error: Ollama at" in capsys.readouterr().out
