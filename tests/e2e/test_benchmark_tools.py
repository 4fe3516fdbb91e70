"""The benchmark's C tools, what counts as an answer and what the upstream sends; and the servers it starts."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from benchmarks.contenders import RAW, STOCK, available_contenders
from benchmarks.cores import available_cores
from benchmarks.load import Load, StreamScript, run_load
from benchmarks.paths import CHAT_PATH, GRADE_PATH, UPSTREAM_GRADE_PATH
from benchmarks.servers import Launch, ServerError, find_free_port, running
from benchmarks.tools.build import Tools, ToolsUnavailableError, build_tools
from benchmarks.upstream import running_upstream

JSON = Load(1, requests=3, timeout_seconds=5)
STREAM = Load(2, StreamScript(tokens=4), requests=6, timeout_seconds=5)


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    """Compile the tools, where that can be done."""
    try:
        return build_tools(tmp_path_factory.mktemp("tools"))
    except ToolsUnavailableError as exc:
        pytest.skip(str(exc))


@contextmanager
def _serving(answer: bytes) -> Iterator[int]:
    """Give a port that sends the same bytes for every request and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):  # closed below
                while True:
                    connection, _address = listener.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(answer)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        port: int = listener.getsockname()[1]
        yield port
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def _result(tools: Tools, folder: Path, port: int, load: Load, path: str = CHAT_PATH, **options: Any) -> dict[str, Any]:
    url = f"http://127.0.0.1:{port}{path}"
    graded = bool(options.get("graded"))
    return run_load(tools.load, url, load, folder=folder, cores=available_cores(), graded=graded)


def _errors(tools: Tools, folder: Path, answer: bytes, load: Load) -> dict[str, int]:
    with _serving(answer) as port:
        result = _result(tools, folder, port, load)
    assert result["succeeded"] == 0
    assert result["errors"] == load.requests
    errors: dict[str, int] = result["errors_by_kind"]
    return errors


def _stream(*events: bytes, length: int | None = None) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(event), event) for event in events) + b"0\r\n\r\n"
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    return (head + body)[:length]


TOKEN = b'data: {"choices":[{"delta":{"content":"~a"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize("load", [JSON, STREAM])
def test_load_counts_an_empty_200_as_an_error(tools: Tools, tmp_path: Path, load: Load) -> None:
    """That is how stock OPEA answers where an upstream failed."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    assert _errors(tools, tmp_path, answer, load) == {"empty": load.requests}
    assert _errors(tools, tmp_path, _stream(), load) == {"empty": load.requests}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (_stream(*[TOKEN] * 4), "no_done"),
        (_stream(*[TOKEN] * 4, DONE, b'data: {"error":{}}\n\n'), "no_done"),
        (_stream(*[TOKEN] * 3, DONE), "incomplete"),
        (_stream(*[TOKEN] * 5, DONE), "incomplete"),
        (_stream(DONE), "empty"),
        (_stream(*[TOKEN] * 4, DONE, length=-5), "cut"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", "status_502"),
        (b"no HTTP at all\r\n\r\n", "status_0"),
        (b"", "cut"),
    ],
)
def test_load_counts_a_stream_without_its_content_or_end_as_an_error(
    tools: Tools, tmp_path: Path, answer: bytes, kind: str
) -> None:
    """Each way to fail is counted by itself."""
    assert _errors(tools, tmp_path, answer, STREAM) == {kind: STREAM.requests}


def test_load_counts_json_without_the_text_as_an_error(tools: Tools, tmp_path: Path) -> None:
    """A 200 with something else in it is no answer."""
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n{"choices":1}'
    assert _errors(tools, tmp_path, answer, JSON) == {"unexpected": JSON.requests}


def test_load_takes_a_complete_stream(tools: Tools, tmp_path: Path) -> None:
    """The same server, with nothing missing."""
    with _serving(_stream(*[TOKEN] * 4, DONE)) as port:
        result = _result(tools, tmp_path, port, STREAM)
    assert (result["succeeded"], result["errors"], result["tokens"]) == (6, 0, 24)


@pytest.fixture
def upstream_port(tools: Tools, tmp_path: Path) -> Iterator[int]:
    """Run the C upstream and give its port."""
    with running_upstream(tools.upstream, tmp_path, available_cores()) as server:
        yield server.port


@pytest.mark.parametrize(
    ("load", "path", "graded"),
    [
        (Load(4, requests=200, timeout_seconds=5), CHAT_PATH, False),
        (Load(4, requests=200, timeout_seconds=5), UPSTREAM_GRADE_PATH, True),
        (Load(64, StreamScript(tokens=200, tokens_per_write=8), requests=640, timeout_seconds=10), CHAT_PATH, False),
        (
            Load(50, StreamScript(3, 20, 50, holds_headers=True), requests=50, timeout_seconds=10, stalled=5),
            CHAT_PATH,
            False,
        ),
    ],
    ids=["json", "grade", "full speed", "held headers beside stalled streams"],
)
def test_upstream_answers_what_the_load_expects(
    tools: Tools, tmp_path: Path, upstream_port: int, load: Load, path: str, graded: bool
) -> None:
    """Tool against tool: every kind of answer, complete."""
    result = _result(tools, tmp_path, upstream_port, load, path, graded=graded)
    assert result["errors_by_kind"] == {}
    assert result["succeeded"] == load.requests
    assert json.loads(json.dumps(result)) == result


def test_upstream_paces_its_streams(tools: Tools, tmp_path: Path, upstream_port: int) -> None:
    """The first token after its delay, the others at their interval."""
    load = Load(5, StreamScript(tokens=6, interval_ms=20, first_token_ms=50), requests=5, timeout_seconds=10)
    result = _result(tools, tmp_path, upstream_port, load)
    assert result["ttft_ms"]["p50"] >= 50
    assert result["latency_ms"]["p50"] >= 150
    assert result["gap_ms"]["max"] >= 15


def test_upstream_stalls_a_stream_on_request(tools: Tools, tmp_path: Path, upstream_port: int) -> None:
    """Headers, then silence: the generator's own limit ends the run."""
    load = Load(3, StreamScript(tokens=1, stalls=True), requests=3, timeout_seconds=0.3)
    result = _result(tools, tmp_path, upstream_port, load)
    assert result["errors_by_kind"] == {"timeout": 3}


@pytest.mark.parametrize(
    ("name", "path", "load"),
    [
        (RAW, CHAT_PATH, Load(8, requests=80, timeout_seconds=10)),
        (RAW, CHAT_PATH, Load(8, StreamScript(tokens=50), requests=16, timeout_seconds=10)),
        (STOCK, CHAT_PATH, Load(8, requests=80, timeout_seconds=10)),
        (STOCK, CHAT_PATH, Load(8, StreamScript(tokens=50), requests=16, timeout_seconds=10)),
        (STOCK, GRADE_PATH, Load(8, requests=80, timeout_seconds=10)),
    ],
)
def test_contenders_of_our_own_making_pass_every_answer_on(
    tools: Tools, tmp_path: Path, upstream_port: int, name: str, path: str, load: Load
) -> None:
    """What is compared with must work: the bare proxy, and the megaservice of stock classes."""
    launch = available_contenders()[name].launch
    assert launch is not None
    port = find_free_port()
    with running(launch(port, upstream_port, tmp_path), port, tmp_path / "log", available_cores()) as server:
        server.wait_until_healthy()
        assert server.cpu_seconds() > 0
        assert server.peak_rss_bytes() > 10_000_000
        result = _result(tools, tmp_path, port, load, path, graded=path == GRADE_PATH)
        assert result["errors_by_kind"] == {}
        assert result["succeeded"] == load.requests
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_server_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    """The end of the log says why."""
    launch = Launch([sys.executable, "-c", "import sys; sys.exit('no such flavour')"], {})
    with (
        running(launch, 1, tmp_path / "log", available_cores()) as server,
        pytest.raises(ServerError, match="no such flavour"),
    ):
        server.wait_until_healthy()


def test_server_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """Stock's threads keep it alive when they are stuck."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    log = tmp_path / "log"
    launch = Launch([sys.executable, "-c", code], {})
    with running(launch, 1, log, available_cores(), stop_seconds=0.2) as server:
        while "up" not in log.read_text():
            time.sleep(0.01)
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)
