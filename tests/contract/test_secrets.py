"""Keys stay where they are: planted ones are looked for in every answer, record and log line."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest

from megaservice.settings import GatewaySettings
from servicekit.environment import PROJECT_ROOT
from servicekit.logs import configure_logging
from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.gateway import CHAT, GRADED, GREETING, chat_file, graded_file, running_gateway
from tests.support.scripted_upstream import Reply, Script

OURS = "sk-planted-ours-0123456789"
NODES = "planted-node-access-0123456789"


def _repeating(status: int, *, in_stream: bool = False) -> Script:
    """Return an upstream that repeats the key it was sent, as some do in their errors."""

    async def script(reply: Reply) -> None:
        message = f"Incorrect API key provided: {reply.request.headers.get('authorization')} (or {OURS})"
        if in_stream:
            await scripts.stream(scripts.openai_events(["Ciao"])[0], scripts.error_event(message))(reply)
        elif status == 200:
            await scripts.answer(200, {"surprise": message})(reply)
        else:
            await scripts.openai_error(status, message)(reply)

    return script


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Log as a process does; give what stands in its log."""
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging("gateway", "DEBUG")
    yield log
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    "script",
    [_repeating(400), _repeating(401), _repeating(500), _repeating(200), _repeating(200, in_stream=True)],
    ids=["400", "401", "500", "nonsense", "in-stream"],
)
async def test_planted_keys_are_in_no_answer_record_or_log(
    script: Script,
    scripted_upstream: UpstreamFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    logged: io.StringIO,
) -> None:
    """Whatever an upstream repeats, the keys of the configuration are masked wherever its words go."""
    monkeypatch.setenv("API_KEYS", OURS)
    monkeypatch.setenv("NODE_ACCESS", NODES)  # a name that does not tell what it holds
    llm, good = await scripted_upstream(script), await scripted_upstream(scripts.completion("Ciao!"))
    chat, graded = chat_file(llm.url), graded_file(good.url, llm.url)
    for document in (chat, graded):
        for node in document["opea_micro_services"].values():
            node["api_key_env"] = "NODE_ACCESS"
    runs = tmp_path / "runs"
    async with (
        running_gateway(tmp_path, llm_url=llm.url, files=[chat, graded], runs_dir=runs, log_messages=True) as url,
        httpx.AsyncClient(base_url=url, timeout=20, headers={"authorization": f"Bearer {OURS}"}) as client,
    ):
        answers = [
            await client.post(path, json={"messages": GREETING, "stream": stream})
            for path in (CHAT, GRADED)
            for stream in (False, True)
        ]
        answers.append(await client.post("/chat", json={"messages": GREETING}))
        answers.append(await client.post(CHAT, json={"messages": GREETING}, headers={"authorization": "Bearer no"}))
        answers += [await client.get(path) for path in ("/models", "/v1/pipelines", "/v1/pipelines/chat", "/metrics")]
    assert any("Incorrect API key provided" in answer.text for answer in answers), "nothing was repeated"
    kept = await asyncio.to_thread(lambda: [path.read_text() for path in runs.glob("*/*")])
    assert len(kept) == 2
    log = logged.getvalue()
    assert "gateway [" in log
    told = [answer.text + str(answer.headers) for answer in answers]
    for key in (OURS, NODES):
        assert not any(key in text for text in (*told, *kept, log))


def test_env_example_names_settings_and_holds_no_secret() -> None:
    """Every line is a comment or a variable that is not set, so that a copy of the file changes nothing."""
    lines = (PROJECT_ROOT / ".env.example").read_text("utf-8").splitlines()
    given = [line for line in lines if line and not line.startswith("#")]
    assert all(line.endswith("=") and line[:-1].isupper() for line in given)
    assert {"GROQ_API_KEY=", "FIREWORKS_AI_API_KEY=", "API_KEYS="} <= set(given)
    ignored = (PROJECT_ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert ".env" in ignored


def test_settings_show_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as text nor as JSON."""
    monkeypatch.setenv("API_KEYS", OURS)
    settings = GatewaySettings()
    shown = f"{settings!r} {settings} {orjson.dumps(settings.model_dump(mode='json'))!r}"
    assert settings.api_keys[0].get_secret_value() == OURS
    assert OURS not in shown
