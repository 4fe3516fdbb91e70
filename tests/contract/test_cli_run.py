"""`megaservice run` against scripted services: the answer, what is attached, JSON for scripts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import yaml

from megaservice.cli.main import main
from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.gateway import GRADE, graded_file
from tests.support.scripted_upstream import Reply, ScriptedUpstream


async def _nodes(scripted_upstream: UpstreamFactory, folder: Path) -> tuple[str, ScriptedUpstream]:
    async def either(reply: Reply) -> None:
        stream = reply.request.json.get("stream")
        await (scripts.openai_stream(["Ciao", "!"]) if stream else scripts.completion("Ciao!"))(reply)

    llm = await scripted_upstream(either)
    grader = await scripted_upstream(scripts.answer(200, GRADE))
    file = folder / "graded.yaml"
    await asyncio.to_thread(file.write_text, yaml.safe_dump(graded_file(llm.url, grader.url), sort_keys=False))
    return str(file), llm


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
async def test_run_prints_the_answer_and_what_is_attached(
    stream: str, scripted_upstream: UpstreamFactory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer on standard output, the nodes on standard error, exit code 0."""
    file, llm = await _nodes(scripted_upstream, tmp_path)
    code = await asyncio.to_thread(main, ["run", file, "-m", "Hello", stream, "--model", "scripted"])
    out, err = capsys.readouterr()
    assert code == 0
    assert out == 'Ciao!\ngrade: {"score": 0.9, "feedback": "Faithful."}\n'
    assert "llm succeeded" in err
    assert "grader succeeded" in err
    assert llm.requests[0].json["model"] == "scripted"


async def test_run_answers_scripts_with_one_json_object(
    scripted_upstream: UpstreamFactory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer as in JSON mode, and each node with state, time and tokens."""
    file, llm = await _nodes(scripted_upstream, tmp_path)
    request = tmp_path / "request.json"
    await asyncio.to_thread(request.write_text, '{"messages": [{"role": "user", "content": "Hi"}], "seed": 7}')
    code = await asyncio.to_thread(main, ["run", file, "--input", str(request), "--json"])
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert (code, err) == (0, "")
    assert result["answer"]["choices"][0]["message"]["content"] == "Ciao!"
    assert result["answer"]["grade"]["score"] == 0.9
    assert [(node["name"], node["state"], node["calls"]) for node in result["nodes"]] == [
        ("llm", "succeeded", 1),
        ("grader", "succeeded", 1),
    ]
    assert result["first_token_seconds"] > 0
    assert llm.requests[0].json["seed"] == 7
