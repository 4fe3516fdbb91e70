"""Real services as real processes, for the end-to-end tests.

with running_service("microservices.llm", port_variable="LLM_SERVICE_PORT", log_folder=tmp_path) as llm:
    httpx.get(llm.url + "/v1/models")
"""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from servicekit.environment import PROJECT_ROOT
from tests.support.network import find_free_port

#: What a process gets from the environment of the tests; everything else is left out.
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "SYSTEMROOT")
_POLL_SECONDS = 0.05
_LOG_TAIL_CHARS = 4_000


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment without any setting of ours, to which `extra` is added."""
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        **kept,
        "MEGASERVICE_ENV_FILE": os.devnull,
        "RUNS_DIR": "",  # no run records in the checkout
        "RETRIEVER_DATA_DIR": ":memory:",  # and no index
        "ASSISTANTS_DATA_DIR": os.devnull,  # and no threads: whoever starts the assistants gives them a folder
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **(extra or {}),
    }


class ServiceProcess:
    """A started process: its address, pid and log.

    Args:
        process: The process, its output going to `log_path`.
        port: Where it listens or will.
        log_path: Standard output and error.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int, log_path: Path) -> None:
        self._process = process
        self.port = port
        self.log_path = log_path

    @property
    def url(self) -> str:
        """`http://127.0.0.1:<port>`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def log(self) -> str:
        """All that it wrote so far."""
        return self.log_path.read_text(errors="replace")

    def wait(self, timeout_seconds: float = 20.0) -> int:
        """Wait for its end and return the exit code."""
        return self._process.wait(timeout_seconds)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def stop(self, timeout_seconds: float = 20.0) -> int:
        """Ask it to stop with SIGTERM and return the exit code; a process that does not fails the test."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(
                f"not stopped {timeout_seconds:g} s after SIGTERM; the log ends:\n{self._log_tail()}"
            ) from None

    def wait_until_ready(self, path: str = "/ready", timeout_seconds: float = 30.0) -> None:
        """Wait until `GET path` answers 200; a process that ends or does not get there fails the test."""
        deadline = time.monotonic() + timeout_seconds
        while (status := self._status_of(path)) != 200:
            code = self._process.poll()
            assert code is None, f"the process ended with exit code {code}; its log ends:\n{self._log_tail()}"
            assert time.monotonic() < deadline, (
                f"GET {path} answers {status} after {timeout_seconds:g} s; the log ends:\n{self._log_tail()}"
            )
            time.sleep(_POLL_SECONDS)

    def _status_of(self, path: str) -> int | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def _log_tail(self) -> str:
        return self.log[-_LOG_TAIL_CHARS:]


def start_process(
    *arguments: str, log_path: Path, port: int = 0, environment: Mapping[str, str] | None = None
) -> ServiceProcess:
    """Start `python <arguments>` from the checkout; `environment` is added to a clean environment."""
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=PROJECT_ROOT,
            env=clean_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    return ServiceProcess(process, port, log_path)


@contextmanager
def running_service(
    module: str,
    *,
    port_variable: str,
    log_folder: Path,
    environment: Mapping[str, str] | None = None,
    ready_path: str = "/ready",
) -> Iterator[ServiceProcess]:
    """Run `python -m <module>` on a free port, from readiness until SIGTERM.

    Args:
        module: The service's package.
        port_variable: The environment variable that sets its port.
        log_folder: Where its log goes, as `<module>.log`.
        environment: What it is told besides.
        ready_path: The route that answers 200 once it is ready.
    """
    port = find_free_port()
    variables = {port_variable: str(port), **(environment or {})}
    service = start_process("-m", module, log_path=log_folder / f"{module}.log", port=port, environment=variables)
    try:
        service.wait_until_ready(ready_path)
        yield service
    finally:
        service.stop()
