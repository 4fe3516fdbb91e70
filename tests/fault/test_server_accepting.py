"""A process that serves: what becomes of its clients when it runs out of descriptors, and when it is told to stop."""

from __future__ import annotations

import asyncio
import http.client
import logging
import resource
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, StreamingResponse

from servicekit.environment import PROJECT_ROOT
from servicekit.server import serve_app
from tests.support.network import find_free_port
from tests.support.processes import ServiceProcess, start_process

REQUEST = b"GET /health HTTP/1.1\r\nhost: test\r\n\r\n"
_DRAIN_SECONDS = 20.0
_PIECES = 10


def _main(limit: str, *ports: str) -> int:
    """Serve in a process of its own, which may have so many descriptors."""
    logging.basicConfig(level=logging.WARNING)
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(limit), int(limit)))
    app = FastAPI()
    app.get("/health")(_health)
    app.get("/cpu", response_class=PlainTextResponse)(_cpu)
    app.get("/pieces")(_pieces)
    app.get("/stand-still")(_stand_still)
    return serve_app(app, "127.0.0.1", [int(port) for port in ports], _DRAIN_SECONDS)


async def _health() -> str:
    return "well"


async def _cpu() -> str:
    return str(time.process_time())


async def _pieces() -> StreamingResponse:
    async def pieces() -> AsyncIterator[str]:
        for number in range(_PIECES):
            yield f"{number}\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(pieces())


async def _stand_still() -> str:
    time.sleep(0.4)  # noqa: ASYNC251 - others connect meanwhile
    return "over"


@contextmanager
def _server(folder: Path, ports: list[int], limit: int = 512) -> Iterator[ServiceProcess]:
    arguments = (__file__, str(limit), *map(str, ports))
    environment = {"PYTHONPATH": str(PROJECT_ROOT)}
    log_path = folder / "server.log"
    server = start_process(*arguments, log_path=log_path, port=ports[0], environment=environment)
    try:
        server.wait_until_ready("/health")
        yield server
    finally:
        server.stop()


def _connected(port: int, count: int) -> list[socket.socket]:
    return [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(count)]


def _get(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    return connection.getresponse().read()


def test_server_without_descriptors_waits_quietly_and_goes_on_when_some_are_free(tmp_path: Path) -> None:
    """It says so once per pause, takes next to no CPU, serves whom it has, and then those who wait."""
    port = find_free_port()
    with _server(tmp_path, [port], limit=64) as server:
        served = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        _get(served, "/health")
        clients = _connected(port, 100)
        time.sleep(0.2)
        cpu_seconds, warnings = float(_get(served, "/cpu")), server.log.count("Too many open files")
        assert warnings >= 1
        time.sleep(1.2)
        assert float(_get(served, "/cpu")) - cpu_seconds < 0.3
        assert 1 <= server.log.count("Too many open files") - warnings <= 3
        for client in clients[:-1]:
            client.close()
        clients[-1].sendall(REQUEST)
        assert clients[-1].recv(1000).startswith(b"HTTP/1.1 200")
        clients[-1].close()
        served.close()
        assert server.stop() == 0
    assert "Traceback" not in server.log


def test_sigterm_lets_requests_of_every_port_end_and_closes_idle_connections(tmp_path: Path) -> None:
    """Two ports, a stream on each: both end as they would, and the process does not wait for those who ask nothing."""
    ports = [find_free_port(), find_free_port()]
    with _server(tmp_path, ports) as server:
        idle = [client for port in ports for client in _connected(port, 100)]
        streams = [http.client.HTTPConnection("127.0.0.1", port, timeout=5) for port in ports]
        for stream in streams:
            stream.request("GET", "/pieces")
        answers = [stream.getresponse() for stream in streams]
        server.signal(signal.SIGTERM)
        told_at = time.monotonic()
        assert [len(answer.read().split()) for answer in answers] == [_PIECES, _PIECES]
        assert server.wait() == 0
        assert time.monotonic() - told_at < _DRAIN_SECONDS / 2
        for client in idle:
            assert client.recv(1) == b""
            client.close()
        for stream in streams:
            stream.close()
        with pytest.raises(ConnectionRefusedError):
            _connected(ports[1], 1)


def test_sigterm_while_clients_wait_to_be_accepted_ends_in_time(tmp_path: Path) -> None:
    """Who is accepted as late as that does not hold the shutdown, though he asks nothing and stays."""
    port = find_free_port()
    with _server(tmp_path, [port]) as server:
        blocking = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        blocking.request("GET", "/stand-still")
        time.sleep(0.1)
        clients = _connected(port, 200)
        server.signal(signal.SIGTERM)
        told_at = time.monotonic()
        assert blocking.getresponse().read() == b'"over"'
        assert server.wait() == 0
        assert time.monotonic() - told_at < _DRAIN_SECONDS / 2
        for client in clients:
            client.close()
        blocking.close()
    assert "Traceback" not in server.log


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
