"""Several processes that serve the gateway's port together, and this one, which looks after them.

Each worker has a listening socket of its own on the one port, which this process keeps open: a worker that dies leaves
the connections that wait there to the one that follows it. See docs/decisions/0013-workers.md.
"""

from __future__ import annotations

import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from megaservice.settings import GatewaySettings
from servicekit.environment import PROJECT_ROOT
from servicekit.listener import SPREADS, listen_together
from servicekit.metrics_folder import FOLDER_VARIABLE, forget_process

logger = logging.getLogger(__name__)

#: What a worker sends once it accepts requests.
READY = b"ready"

_EXIT_FAILURE = 1
_EXIT_CONFIGURATION = 2
#: The pause before a dead worker is started again; it doubles with each death in a row.
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
#: After so many deaths in a row a worker's socket is closed: whoever waited there would wait for long.
_DEATHS_WITH_SOCKET = 2
#: A worker that lived this long did not die of its start.
_STABLE_SECONDS = 30.0
#: If no worker ever served and one was started this often, starting on is of no use.
_MAX_STARTS = 3
#: What workers get beyond their own time to drain.
_GRACE_SECONDS = 5.0
#: What the first worker gets to say why the configuration cannot be used.
_TELLING_SECONDS = 10.0


class Worker:
    """One process of the pool, and those that follow it in its place.

    Args:
        number: From 1.
        listener: Its socket; stays open here.
        environment: What the process gets.
    """

    def __init__(self, number: int, listener: socket.socket, environment: dict[str, str]) -> None:
        self.number = number
        self.listener = listener
        self.channel: socket.socket | None = None
        #: How often a process was started.
        self.starts = 0
        #: When the next one is due; None while one runs.
        self.due: float | None = 0.0
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0
        self._deaths = 0

    @property
    def pid(self) -> int:
        """The id of the newest process; 0 if there was none."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start a process; it ends by itself when this process is gone, because its channel closes.

        Where its socket was closed, it opens one when it can serve, and sends it here.
        """
        self.channel, theirs = socket.socketpair()
        handed_on = (self.listener.fileno(), theirs.fileno())
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "megaservice.worker", str(self.number), *map(str, handed_on)],
                cwd=PROJECT_ROOT,
                env=self._environment,
                pass_fds=[number for number in handed_on if number >= 0],
            )
        self._began = time.monotonic()
        self.starts += 1
        self.due = None

    def exit_code(self) -> int | None:
        """Return the exit code of a process that has just ended, negative for a signal; None if none has."""
        return self._process.poll() if self._process and self.due is None else None

    def bury(self) -> float:
        """Make room for the next process; return how many seconds it will wait."""
        if self.channel is not None:
            self.channel.close()
            self.channel = None
        lived = time.monotonic() - self._began
        self._deaths = 1 if lived > _STABLE_SECONDS else self._deaths + 1
        if self._deaths > _DEATHS_WITH_SOCKET and SPREADS:
            self.listener.close()
        pause = min(_FIRST_PAUSE_SECONDS * 2.0 ** (self._deaths - 1), _LONGEST_PAUSE_SECONDS)
        self.due = time.monotonic() + pause
        return pause

    def stop(self, deadline: float) -> None:
        """Wait for the end of the process until the deadline, then kill it."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            logger.warning("worker %d (pid %d) has not drained in time and is killed", self.number, self.pid)
            self._process.kill()
            self._process.wait()

    def wait(self, seconds: float) -> None:
        """Wait for the process to end by itself, but not longer than so many seconds."""
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)

    def terminate(self) -> None:
        """Ask the process to drain and end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()


class WorkerPool:
    """Starts the workers, starts those again that die, and stops all on SIGTERM or SIGINT.

    Args:
        settings: Of the gateway.
        listeners: One for each worker.
        metrics_folder: Where the workers keep their metrics.
    """

    def __init__(self, settings: GatewaySettings, listeners: Sequence[socket.socket], metrics_folder: Path) -> None:
        self._drain_seconds = settings.drain_seconds
        self._metrics_folder = metrics_folder
        environment = {**os.environ, FOLDER_VARIABLE: str(metrics_folder)}
        self.workers = [Worker(number, listener, environment) for number, listener in enumerate(listeners, start=1)]
        self._has_served = False
        self._exit_code: int | None = None

    def run(self) -> int:
        """Look after the workers until told to stop; return the process's exit code."""
        with _signals(self._stop_by_signal) as wake:
            while self._exit_code is None:
                for worker in self.workers:
                    if worker.due is not None and worker.due <= time.monotonic():
                        worker.start()
                self._wait(wake)
                for worker in self.workers:
                    if (code := worker.exit_code()) is not None:
                        self._ended(worker, code)
            self._stop()
        return self._exit_code

    def _wait(self, wake: socket.socket) -> None:
        """Wait until a signal or a worker tells something, or the next start is due."""
        due = [worker.due for worker in self.workers if worker.due is not None]
        seconds = max(0.0, min(due) - time.monotonic()) if due else None
        channels = {worker.channel: worker for worker in self.workers if worker.channel is not None}
        readable, _, _ = select.select([wake, *channels], [], [], seconds)
        for source in readable:
            if source is wake:
                wake.recv(4096)
            else:
                self._heard(channels[source])

    def _heard(self, worker: Worker) -> None:
        assert worker.channel is not None  # only such are waited for  # noqa: S101
        message, sockets, _, _ = socket.recv_fds(worker.channel, len(READY), 1)
        if message:
            self._has_served = True
            if sockets:
                worker.listener = socket.socket(fileno=sockets[0])
            logger.info("worker %d (pid %d) serves", worker.number, worker.pid)
        else:  # its end; the exit code follows
            worker.channel.close()
            worker.channel = None

    def _ended(self, worker: Worker, code: int) -> None:
        forget_process(self._metrics_folder, worker.pid)
        pause = worker.bury()
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        if not self._has_served and (code == _EXIT_CONFIGURATION or worker.starts >= _MAX_STARTS):
            logger.error("worker %d ended %s before any served; the gateway stops", worker.number, how)
            self._exit_code = _EXIT_CONFIGURATION if code == _EXIT_CONFIGURATION else _EXIT_FAILURE
            return
        logger.warning(
            "worker %d (pid %d) ended %s; it is started again in %g s", worker.number, worker.pid, how, pause
        )

    def _stop_by_signal(self) -> None:
        if self._exit_code is None:
            self._exit_code = 0

    def _stop(self) -> None:
        """Take no more connections, and let the workers answer those they have."""
        if self._exit_code == _EXIT_CONFIGURATION:
            self.workers[0].wait(_TELLING_SECONDS)  # it tells what is wrong, and others may have found it sooner
        for worker in self.workers:
            worker.listener.close()
            worker.terminate()
        deadline = time.monotonic() + self._drain_seconds + _GRACE_SECONDS
        for worker in self.workers:
            worker.stop(deadline)


def serve_with_workers(settings: GatewaySettings, count: int) -> int:
    """Serve the gateway with several processes until SIGTERM or SIGINT; return the exit code.

    Raises:
        ConfigurationError: The port cannot be had.
    """
    listeners = listen_together(settings.host, settings.port, count)
    folder = Path(tempfile.mkdtemp(prefix="megaservice-metrics-"))
    try:
        return WorkerPool(settings, listeners, folder).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[socket.socket]:
    """Call `stop` on SIGTERM and SIGINT, and give a socket that is readable after each signal, SIGCHLD too."""
    wake, written = socket.socketpair()
    written.setblocking(False)
    with wake, written:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        previous = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
        try:
            yield wake
        finally:
            signal.set_wakeup_fd(previous)
