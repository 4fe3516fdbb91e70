"""What `up` leaves to containers: ports that a container's forwarder holds, with the very service behind them."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from megaservice.cli.containers import run_by_containers
from megaservice.cli.services import Service
from tests.support.network import find_free_port

_SERVER = """
import http.server, json, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"Service Title": sys.argv[2]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

Listen = Callable[[str, str], int]


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Listen]:
    """Start a process of a name that answers as a service of a title; returns its port."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(name: str, title: str) -> int:
        program = tmp_path / name
        program.symlink_to(Path(sys.executable).resolve())
        port = find_free_port()
        processes.append(subprocess.Popen([program, "-S", "-c", _SERVER, str(port), title]))
        _wait_until_listening(port)
        return port

    yield start
    for process in processes:
        process.terminate()
        process.wait(10)


def _wait_until_listening(port: int) -> None:
    for _attempt in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on {port}")


def _service(name: str, port: int) -> Service:
    return Service(name, (f"microservices.{name}",), "127.0.0.1", port, f"{name.upper()}_PORT")


def test_service_is_left_alone_where_a_container_holds_its_port(listen: Listen) -> None:
    """Docker's proxy holds the port and the service answers behind it: `up` has nothing to start."""
    service = _service("llm", listen("docker-proxy", "LLM microservice"))
    assert run_by_containers([service]) == [service]


def test_service_is_not_left_alone_where_another_checkout_runs_it(listen: Listen) -> None:
    """The same service as a process of this machine is somebody's own run: its port counts as taken."""
    assert run_by_containers([_service("llm", listen("some-python", "LLM microservice"))]) == []


def test_service_is_not_left_alone_where_a_container_runs_something_else(listen: Listen) -> None:
    """Another service of ours in a container is no stand-in."""
    assert run_by_containers([_service("llm", listen("docker-proxy", "grader"))]) == []


def test_gateway_is_never_left_to_a_container(listen: Listen) -> None:
    """Who types `up` wants the gateway of this checkout, so its port being taken is an error."""
    assert run_by_containers([_service("gateway", listen("docker-proxy", "megaservice/Gateway"))]) == []


def test_free_port_is_nobodys() -> None:
    """Nobody answers: there is something to start."""
    assert run_by_containers([_service("llm", find_free_port())]) == []
