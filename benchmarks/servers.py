"""Starts servers on chosen cores, measures their processes, and stops each by its own id."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[1]

#: What a server gets from our environment; everything else would make the run differ from machine to machine.
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")
_STOP_SECONDS = 5.0
_START_SECONDS = 30.0
_POLL_SECONDS = 0.005
_LOG_TAIL_CHARS = 2_000


class ServerError(Exception):
    """A server did not start; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a server."""

    command: Sequence[str]
    environment: Mapping[str, str]


class Server:
    """A running server process.

    Args:
        process: The process.
        command: What it was started with.
        port: Its loopback port.
        log_path: Where its output goes.
    """

    def __init__(self, process: subprocess.Popen[bytes], command: Sequence[str], port: int, log_path: Path) -> None:
        self._process = process
        self._command = " ".join(command)
        self.port = port
        self.log_path = log_path

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Return the CPU time of the process and its children, the ended ones too."""
        return sum(_cpu_seconds(pid) for pid in _tree(self.pid))

    def peak_rss_bytes(self) -> int:
        """Return the sum of the largest resident sizes of the process and its children."""
        return sum(_peak_rss_bytes(pid) for pid in _tree(self.pid))

    def wait_until_healthy(self, path: str = "/health") -> None:
        """Wait until `GET path` answers 200.

        Raises:
            ServerError: It ended, or does not get there.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(self.port, path):
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = self.log_path.read_text(errors="replace")[-_LOG_TAIL_CHARS:]
                raise ServerError(f"{self._command} did not start; its log ends:\n{tail}")
            time.sleep(_POLL_SECONDS)

    def stop(self, seconds: float) -> None:
        """End the process: SIGTERM, and after these seconds SIGKILL (stock, with stuck threads, does not listen)."""
        family = _tree(self.pid)
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            for pid in family[1:]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@contextmanager
def running(
    launch: Launch, port: int, log_path: Path, cores: Collection[int], *, stop_seconds: float = _STOP_SECONDS
) -> Iterator[Server]:
    """Run a server, from its start (not its readiness) until it is stopped."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | dict(launch.environment)
    with log_path.open("ab") as log, on_cores(cores):
        process = subprocess.Popen(
            list(launch.command),
            cwd=PROJECT_ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is ours: we stop it
        )
    server = Server(process, launch.command, port, log_path)
    try:
        yield server
    finally:
        server.stop(stop_seconds)


@contextmanager
def on_cores(cores: Collection[int]) -> Iterator[None]:
    """Let what is started inside run on these cores; a child has its parent's affinity."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def find_free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    pids = [pid]
    for parent in pids:  # grows while it is read
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):
                pids += [int(child) for child in path.read_text().split()]
    return pids


def _cpu_seconds(pid: int) -> float:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces
    return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def _peak_rss_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
