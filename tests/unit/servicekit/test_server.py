"""Exit codes and sockets of a service process."""

from __future__ import annotations

import socket

import pytest
from fastapi import FastAPI

from servicekit.errors import ConfigurationError
from servicekit.server import run_process, serve_app


def _cannot_start() -> int:
    raise ConfigurationError("first problem", "second problem")


def test_run_process_returns_what_start_returned() -> None:
    """A process that ended well says so."""
    assert run_process(lambda: 0) == 0


def test_run_process_tells_each_configuration_problem_and_returns_2(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each problem, no trace, and the code that a supervisor does not restart."""
    assert run_process(_cannot_start) == 2
    assert capsys.readouterr().err == "error: first problem\nerror: second problem\n"


def test_run_process_shows_no_password_of_an_address(capsys: pytest.CaptureFixture[str]) -> None:
    """Whichever check repeats an address: an error of the configuration is masked when it is made."""

    def start() -> int:
        raise ConfigurationError("its address is http://user:hidden@0.0.0.0:1/v1: that is an address to listen on")

    assert run_process(start) == 2
    assert capsys.readouterr().err.startswith("error: its address is http://***@0.0.0.0:1/v1: that")


def test_serve_app_says_that_a_port_is_taken() -> None:
    """A port in use is one clear sentence, before anything is served."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"Port {port} on 127.0.0.1 is already in use"):
            serve_app(FastAPI(), "127.0.0.1", [port], 1)


def test_serve_app_says_that_an_address_is_not_this_machine_s() -> None:
    """An address that cannot be bound is named."""
    with pytest.raises(ConfigurationError, match=r"Cannot listen on 192\.0\.2\.1:8000"):
        serve_app(FastAPI(), "192.0.2.1", [8000], 1)
