"""`megaservice models` and `chat` against the real gateway over a scripted model: what they print, and exit codes."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import sys
from pathlib import Path

import pytest
import yaml

from megaservice.app import create_app
from megaservice.cli.main import main
from megaservice.settings import GatewaySettings
from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.gateway import GRADE, chat_file, running_gateway
from tests.support.scripted_upstream import Reply
from tests.support.serving import serving

_SECONDS = 20


#: A chunk of a model that says something about itself.
NOTED = {
    "id": "x",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": scripts.MODEL,
    "notice": {"code": "weak", "message": "I know phrases."},
}


async def _either(reply: Reply) -> None:
    stream = reply.request.json.get("stream")
    await (scripts.openai_stream(["Ciao", "!"]) if stream else scripts.completion("Ciao!"))(reply)


async def _main(*arguments: str) -> int:
    return await asyncio.to_thread(main, arguments)


async def test_models_prints_a_table_and_json(
    scripted_upstream: UpstreamFactory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Alias, provider and model of each, the default marked; the gateway's own object for scripts."""
    llm = await scripted_upstream(_either)
    async with running_gateway(tmp_path, llm_url=llm.url) as url:
        assert await _main("models", "--url", url) == 0
        table = capsys.readouterr().out.splitlines()
        assert await _main("models", "--url", url, "--json") == 0
    assert table[0].split() == ["ALIAS", "PROVIDER", "MODEL"]
    assert table[1].split() == ["scripted-model", "openai_compatible", "scripted-model", "(default)"]
    assert table[2].split() == ["short-name", "openai_compatible", "scripted-model"]
    assert json.loads(capsys.readouterr().out)["aliases"].keys() == {"scripted-model", "short-name"}


async def test_models_lists_every_deployment_of_an_alias(
    scripted_upstream: UpstreamFactory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An alias that several share has a line for each; the gateway's object has the first, and all of them."""
    first, second = {"provider": "groq", "model": "a"}, {"provider": "fireworks_ai", "model": "b"}
    llm = await scripted_upstream(_either)
    file = tmp_path / "catalog" / "models.json"
    await asyncio.to_thread(file.parent.mkdir)
    await asyncio.to_thread(file.write_text, json.dumps({"aliases": {"fast": {"deployments": [first, second]}}}))
    await asyncio.to_thread((tmp_path / "chat.yaml").write_text, yaml.safe_dump(chat_file(llm.url), sort_keys=False))
    settings = GatewaySettings(pipelines_dir=tmp_path, models_file=file)
    async with serving(await asyncio.to_thread(create_app, settings)) as url:
        assert await _main("models", "--url", url) == 0
        rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
        assert await _main("models", "--url", url, "--json") == 0
    assert rows == [["fast", "groq", "a", "(default)"], ["fast", "fireworks_ai", "b", "(default)"]]
    entry = json.loads(capsys.readouterr().out)["aliases"]["fast"]
    assert entry == {**first, "deployments": [first, second]}


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
async def test_chat_prints_the_text_alone_on_standard_output(
    stream: str, scripted_upstream: UpstreamFactory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a script pipes on is the answer; every option reaches the model."""
    llm = await scripted_upstream(_either)
    options = ["--system", "Be brief.", "--temperature", "0.2", "--max-tokens", "9", "--seed", "7", "--json-mode"]
    async with running_gateway(tmp_path, llm_url=llm.url) as url:
        code = await _main("chat", "--url", url, "--model", "short-name", "--user", "Hello", stream, *options)
    out, err = capsys.readouterr()
    sent = llm.requests[0].json
    assert (code, out, err) == (0, "Ciao!\n", "")
    assert sent["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    assert (sent["model"], sent["temperature"], sent["max_tokens"], sent["seed"]) == ("short-name", 0.2, 9, 7)
    assert sent["response_format"] == {"type": "json_object"}
    assert sent.get("stream", False) is (stream == "--stream")


async def test_chat_finds_the_gateway_by_its_variables_and_sends_a_key(
    scripted_upstream: UpstreamFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """MEGA_SERVICE_HOST_IP and MEGA_SERVICE_PORT say where; the first of API_KEYS opens it; standard input is sent."""
    llm = await scripted_upstream(_either)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Hello\nthere\n"), encoding="utf-8"))
    async with running_gateway(tmp_path, llm_url=llm.url, api_keys="first,second") as url:
        monkeypatch.setenv("MEGA_SERVICE_HOST_IP", "127.0.0.1")
        monkeypatch.setenv("MEGA_SERVICE_PORT", url.rsplit(":", 1)[1])
        assert await _main("chat", "--json") == 2  # no key yet
        assert json.loads(capsys.readouterr().out)["error"]["code"] == "invalid_api_key"
        monkeypatch.setenv("API_KEYS", "first, second")
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Hello\nthere\n"), encoding="utf-8"))
        assert await _main("chat", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["text"], answer["usage"]) == ("Ciao!", scripts.USAGE)
    assert llm.requests[0].json["messages"][-1]["content"] == "Hello\nthere\n"


async def test_chat_tells_what_a_pipeline_attaches_on_standard_error(
    scripted_upstream: UpstreamFactory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The grade stands beside the text, not in it."""
    llm, grader = await scripted_upstream(_either), await scripted_upstream(scripts.answer(200, GRADE))
    async with running_gateway(tmp_path, llm_url=llm.url, grader_url=grader.url) as url:
        assert await _main("chat", "--url", url, "--model", "graded", "--user", "Hello") == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("Ciao!\n", 'grade: {"score": 0.9, "feedback": "Faithful."}\n')


@pytest.mark.parametrize("command", [["models"], ["chat", "--user", "Hello"], ["chat", "--no-stream", "-u", "Hello"]])
async def test_commands_say_what_to_do_where_no_gateway_runs(
    command: list[str], refused_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence with the remedy, exit code 3."""
    assert await _main(*command, "--url", refused_url) == 3
    err = capsys.readouterr().err
    assert err.startswith(f"error: No gateway answers at {refused_url}.")
    assert "`make up`" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", [["models"], ["chat", "-u", "Hello"], ["chat", "--no-stream", "-u", "Hello"]])
@pytest.mark.parametrize("shape", [[], ["--json"]], ids=["text", "json"])
async def test_commands_do_not_show_the_password_of_the_address(
    command: list[str],
    shape: list[str],
    refused_url: str,
    scripted_upstream: UpstreamFactory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where nobody answers, something else does, or it is no address; with http:// or not, whatever it is made of."""
    other = await scripted_upstream(scripts.answer(200, {"hello": "world"}))
    broken = await scripted_upstream(scripts.close_without_answer())
    hosts = [address.removeprefix("http://") for address in (refused_url, other.url, broken.url)]
    for host in [*hosts, "127.0.0.1:no-port"]:
        for user in ("http://me:hidden-word", "me:hidden-word", "http://me:it's a \"hidden-word"):
            await _main(*command, *shape, "--url", f"{user}@{host}")
            shown = "".join(capsys.readouterr())
            assert f"***@{host}" in shown
            assert "hidden-word" not in shown


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
async def test_chat_exit_codes_tell_whose_fault_it_is(
    stream: str, scripted_upstream: UpstreamFactory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """2 names the option that is wrong; 3 says that the model failed, or broke off."""
    failing = await scripted_upstream(
        scripts.openai_error(500), scripts.stream(scripts.openai_events(["Ciao"])[0], scripts.CUT)
    )
    async with running_gateway(tmp_path, llm_url=failing.url) as url:
        chat = ["chat", "--url", url, "--user", "Hello", stream]
        assert await _main(*chat, "--temperature", "3") == 2
        assert "error: --temperature: " in capsys.readouterr().err
        assert await _main(*chat) == 3
        assert "answered 500" in capsys.readouterr().err
        assert await _main(*chat) == 3


async def test_chat_refuses_what_is_no_gateway(
    scripted_upstream: UpstreamFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another server at that address is told of, and no trace is shown."""
    other = await scripted_upstream(scripts.plain_error(404), scripts.answer(200, "hello", content_type="text/html"))
    for command in (["models"], ["chat", "--no-stream", "--user", "Hello"]):
        assert await _main(*command, "--url", other.url) == 3
        assert "is no gateway of this project" in capsys.readouterr().err


async def test_chat_without_a_message_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Empty standard input is nothing to answer."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b" \n"), encoding="utf-8"))
    assert await _main("chat") == 2
    assert "Give --user TEXT" in capsys.readouterr().err


async def test_chat_refuses_standard_input_that_is_no_utf8(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence that names the byte, and no trace."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\xff\xfe"), encoding="utf-8"))
    assert await _main("chat") == 2
    assert "Standard input is no UTF-8 text: byte 2 is 0xff." in capsys.readouterr().err


async def test_chat_on_a_terminal_says_a_notice_once(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """What the model says about itself with each answer is shown to people as one line, and not again."""
    chunk = {**NOTED, "choices": [{"index": 0, "delta": {"content": "Ciao!"}, "finish_reason": "stop"}]}
    llm = await scripted_upstream(scripts.stream(b"data: " + json.dumps(chunk).encode() + b"\n\n", scripts.DONE))
    controller, terminal = pty.openpty()
    async with running_gateway(tmp_path, llm_url=llm.url) as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "megaservice", "chat", "--url", url),
            stdin=terminal,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        os.write(controller, b"one\ntwo\n\x04")
        out, err = await asyncio.wait_for(process.communicate(), _SECONDS)
    os.close(controller)
    os.close(terminal)
    assert out.decode().count("Ciao!") == 2
    assert err.decode().count("notice") == 1
    assert "notice: I know phrases.\n" in err.decode()


async def test_chat_on_a_terminal_remembers_what_was_said(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """Each message goes with the ones before it, an answer that failed without; Ctrl-D ends with exit code 0."""
    llm = await scripted_upstream(_either, scripts.openai_error(400, "No."), _either)
    controller, terminal = pty.openpty()
    async with running_gateway(tmp_path, llm_url=llm.url) as url:
        command = [sys.executable, "-m", "megaservice", "chat", "--url", url, "--system", "Be brief."]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=terminal, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        os.write(controller, b"one\ntwo\nthree\n\x04")
        out, err = await asyncio.wait_for(process.communicate(), _SECONDS)
    os.close(controller)
    os.close(terminal)
    assert process.returncode == 0, err.decode()
    assert out.decode().replace("> ", "") == "Ciao!\nCiao!\n"
    assert "error: " in err.decode()
    said = [(message["role"], message["content"]) for message in llm.requests[2].json["messages"]]
    assert said == [("system", "Be brief."), ("user", "one"), ("assistant", "Ciao!"), ("user", "three")]
