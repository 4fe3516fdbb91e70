"""The LLM microservice's processes: crashes, signals, broken model files."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import orjson
import psutil
import pytest

from servicekit.models import BUNDLED_MODELS
from tests.support.network import find_free_port
from tests.support.openai_http import CHAT, ask
from tests.support.processes import ServiceProcess, running_service, start_process

PHRASEBOOK = BUNDLED_MODELS["phrasebook"]
MODULE = "microservices.llm"
PORT = "LLM_SERVICE_PORT"


def child_of(service: ServiceProcess) -> psutil.Process:
    """Return the process that runs llama.cpp."""
    (child,) = psutil.Process(service.pid).children()
    return child


def is_running(process: psutil.Process) -> bool:
    """Whether a process still runs; one that only waits to be reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s"
        time.sleep(0.02)


def models_file(folder: Path, model: Path) -> dict[str, str]:
    """Write a models.json with one embedded model, and return the variable that names it."""
    path = folder / "models.json"
    path.write_bytes(orjson.dumps({"aliases": {"m": {"provider": "embedded", "model": str(model)}}}))
    return {"MODELS_FILE": str(path)}


def run_to_its_end(folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Start a service that will not come up; returns its exit code and what it wrote."""
    port = find_free_port()
    log_path = folder / "llm.log"
    process = start_process("-m", MODULE, log_path=log_path, port=port, environment={PORT: str(port), **environment})
    return process.wait(), process.log


def test_crashed_llama_cpp_is_started_again(tmp_path: Path) -> None:
    """Its calls fail with the reason meanwhile, `/ready` says so, and then all is well again."""
    with running_service(MODULE, port_variable=PORT, log_folder=tmp_path) as llm:
        first = child_of(llm)
        before = ask(llm.url, "Good morning").text
        first.kill()
        wait_for(lambda: httpx.get(llm.url + "/ready", trust_env=False).status_code == 503)
        answer = ask(llm.url, "Good morning")
        assert (answer.status, answer.document["error"]["code"]) == (502, "upstream_unreachable")
        assert "llama.cpp's process of model 'phrasebook' ended unexpectedly" in answer.document["error"]["message"]
        llm.wait_until_ready()
        assert ask(llm.url, "Good morning").text == before
        assert child_of(llm).pid != first.pid


def test_llama_cpp_that_crashes_under_a_call_fails_the_call(tmp_path: Path) -> None:
    """A running stream ends with an error event that names the engine and the reason, without [DONE]."""
    with running_service(MODULE, port_variable=PORT, log_folder=tmp_path) as llm:
        child = child_of(llm)
        child.suspend()  # the model is too quick to be caught at work
        sender = socket.create_connection(("127.0.0.1", llm.port), timeout=10)
        body = b'{"messages": "Hello"}'
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        sender.sendall(head.encode() + body)
        time.sleep(0.2)
        child.kill()
        answer = b""
        while part := sender.recv(65536):
            answer += part
        sender.close()
    assert answer.startswith(b"HTTP/1.1 502")
    assert b'"upstream_unreachable"' in answer
    assert b"model 'phrasebook' ended unexpectedly (signal 9)" in answer


def test_killed_service_takes_llama_cpp_with_it(tmp_path: Path) -> None:
    """`kill -9` of the service leaves nothing behind."""
    port = find_free_port()
    service = start_process("-m", MODULE, log_path=tmp_path / "llm.log", port=port, environment={PORT: str(port)})
    service.wait_until_ready()
    child = child_of(service)
    service.signal(signal.SIGKILL)
    service.wait()
    wait_for(lambda: not is_running(child), seconds=2.0)


def test_terminated_service_stops_llama_cpp_and_exits_0(tmp_path: Path) -> None:
    """SIGTERM without work ends both at once."""
    with running_service(MODULE, port_variable=PORT, log_folder=tmp_path) as llm:
        child = child_of(llm)
        started = time.monotonic()
        assert llm.stop() == 0
        assert time.monotonic() - started < 2.0
        assert not is_running(child)


def test_terminated_service_finishes_its_stream(tmp_path: Path) -> None:
    """A running answer is drained; the exit code is 0."""
    with running_service(MODULE, port_variable=PORT, log_folder=tmp_path) as llm:
        child = child_of(llm)
        child.suspend()  # holds the answer back until the signal was sent
        sender = socket.create_connection(("127.0.0.1", llm.port), timeout=10)
        body = b'{"messages": "Good morning", "stream": true}'
        sender.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        time.sleep(0.2)
        llm.signal(signal.SIGTERM)
        time.sleep(0.2)
        child.resume()
        answer = b""
        while part := sender.recv(65536):
            answer += part
        sender.close()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"data: [DONE]\n\n" in answer
        assert llm.wait() == 0


def test_key_of_llama_cpp_is_on_no_command_line(tmp_path: Path) -> None:
    """It answers nobody else: the key is random, and neither arguments nor environment show it."""
    with running_service(MODULE, port_variable=PORT, log_folder=tmp_path) as llm:
        child = child_of(llm)
        assert child.cmdline()[1:] == ["-m", "servicekit.engines.llama_child"]
        (listening,) = [item for item in child.net_connections() if item.status == psutil.CONN_LISTEN]
        assert listening.laddr.ip == "127.0.0.1"
        url = f"http://127.0.0.1:{listening.laddr.port}/v1/chat/completions"
        assert httpx.post(url, json={"messages": []}, trust_env=False).status_code == 401


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no file"),
        (b"", "the file is empty"),
        (b"not a model", "the file starts with b'not '"),
        (slice(100), "incomplete or broken"),
        (slice(2000), "failed to read key-value pairs"),
        (slice(-1000), "model is corrupted or incomplete"),
    ],
    ids=["missing", "empty", "text", "cut-early", "cut-in-tokens", "cut-late"],
)
def test_unusable_model_file_ends_the_start_with_one_sentence(
    tmp_path: Path, content: bytes | slice | None, words: str
) -> None:
    """Exit code 2, and the path, what was found and what to do in one line; a slice is a part of the phrasebook."""
    model = tmp_path / "broken.gguf"
    if content is not None:
        model.write_bytes(PHRASEBOOK.read_bytes()[content] if isinstance(content, slice) else content)
    code, log = run_to_its_end(tmp_path, models_file(tmp_path, model))
    errors = [line for line in log.splitlines() if line.startswith("error: ")]
    assert (code, len(errors)) == (2, 1)
    for part in (str(model), words, "compose/models.json"):
        assert part in errors[0]


def test_unknown_model_id_ends_the_start_with_one_sentence(tmp_path: Path) -> None:
    """It names the models there are and both remedies."""
    code, log = run_to_its_end(tmp_path, {"LLM_MODEL_ID": "nope"})
    assert code == 2
    assert "LLM_MODEL_ID is 'nope', but the models there are: phrasebook, llama3.2:1b." in log
    assert "LLM_ENDPOINT" in log


def test_taken_port_ends_the_start_with_one_sentence(tmp_path: Path) -> None:
    """And leaves no llama.cpp behind."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        code, log = run_to_its_end(tmp_path, {PORT: port})
    assert code == 2
    assert f"Port {port} on 127.0.0.1 is already in use" in log


def test_start_is_quick(tmp_path: Path) -> None:
    """llama.cpp itself is there within half a second; `make up` has five for everything."""
    with running_service(MODULE, port_variable=PORT, log_folder=tmp_path) as llm:
        (line,) = [line for line in llm.log.splitlines() if "is served by llama.cpp" in line]
    assert float(line.rsplit("started in ", 1)[1].split(" s")[0]) < 0.5
