"""Talks to supervisord: starts it, and asks it over its UNIX socket (http://supervisord.org/api.html)."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from megaservice.cli.processes import MARKER
from megaservice.cli.run_dir import RunDir
from megaservice.cli.services import Service
from megaservice.cli.supervisor_config import render_config
from servicekit.environment import PROJECT_ROOT
from servicekit.errors import ProjectError

_ANSWER_TIMEOUT_SECONDS = 5.0
_START_TIMEOUT_SECONDS = 10.0
_POLL_SECONDS = 0.02
_ALREADY_STARTED = 60


class SupervisorError(ProjectError):
    """supervisord does not answer, did not start, or refused."""


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """What supervisord says about a service's process."""

    name: str
    #: RUNNING, STOPPED, EXITED, STOPPING, FATAL, ...: http://supervisord.org/subprocess.html#process-states
    state: str
    #: 0 where there is no process.
    pid: int
    exit_code: int
    uptime_seconds: int

    @property
    def is_alive(self) -> bool:
        """Whether there is a process, or one is about to be."""
        return self.state in {"RUNNING", "STARTING", "BACKOFF"}


class Supervisor:
    """The supervisord of one run folder.

    Args:
        run_dir: Where its files are.
    """

    def __init__(self, run_dir: RunDir) -> None:
        self._run_dir = run_dir
        self._proxy = xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=_UnixTransport(str(run_dir.socket)))

    def start(self, services: Sequence[Service]) -> None:
        """Start supervisord itself, in the background, and wait until it answers; no service starts yet.

        Raises:
            SupervisorError: It did not start; its own words are in the message.
        """
        self._run_dir.socket.unlink(missing_ok=True)
        self._run_dir.config.write_text(render_config(self._run_dir, services), encoding="utf-8")
        result = subprocess.run(  # noqa: S603 - our own interpreter and configuration
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._run_dir.config)],
            cwd=PROJECT_ROOT,
            env={**os.environ, MARKER: str(self._run_dir.path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_START_TIMEOUT_SECONDS,
            check=False,
        )
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while not self.answers():
            if result.returncode != 0 or time.monotonic() > deadline:
                words = result.stdout.decode(errors="replace").strip() or f"see {self._run_dir.supervisor_log}"
                raise SupervisorError(f"supervisord did not start: {words}")
            time.sleep(_POLL_SECONDS)

    def answers(self) -> bool:
        """Say whether it runs and is not about to end."""
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except SupervisorError:
            return False

    def processes(self) -> dict[str, ProcessInfo]:
        """Return every service's process by name.

        Raises:
            SupervisorError: It does not answer.
        """
        return {row["name"]: _process_info(row) for row in self._call("getAllProcessInfo")}

    def start_process(self, name: str) -> None:
        """Start a service that does not run.

        Raises:
            SupervisorError: It does not answer, or knows no such service.
        """
        try:
            self._call("startProcess", name, False)
        except SupervisorError as exc:
            fault = exc.__cause__
            if not (isinstance(fault, xmlrpc.client.Fault) and fault.faultCode == _ALREADY_STARTED):
                raise

    def pid(self) -> int:
        """Return its process id.

        Raises:
            SupervisorError: It does not answer.
        """
        return int(self._call("getPID"))

    def shut_down(self) -> None:
        """Ask it to stop every service, the last one started first, and then itself; returns at once.

        Raises:
            SupervisorError: It does not answer.
        """
        self._call("shutdown")

    def _call(self, method: str, *arguments: object) -> Any:  # noqa: ANN401 - XML-RPC answers with what it likes
        try:
            return getattr(self._proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as exc:
            raise SupervisorError(f"supervisord refused {method}{arguments}: {exc.faultString}") from exc
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as exc:
            raise SupervisorError(f"supervisord does not answer on {self._run_dir.socket}: {exc}") from exc
        finally:
            self._proxy("close")()  # nobody would close it later


def _process_info(row: dict[str, Any]) -> ProcessInfo:
    return ProcessInfo(
        name=row["name"],
        state=row["statename"],
        pid=row["pid"],
        exit_code=row["exitstatus"],
        uptime_seconds=max(0, row["now"] - row["start"]) if row["pid"] else 0,
    )


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_ANSWER_TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:  # noqa: ANN401 - as in the base class
        connection = self._connection[1]
        if connection is None:
            connection = _UnixConnection(self._path)
            self._connection = host, connection
        return connection
