"""Finds and stops the processes that `up` started, even after their supervisor died.

Every process below supervisord carries the marker variable in its environment, children of children too (the LLM
service runs llama.cpp in one). Process ids in files could by now belong to somebody else; this mark cannot, so
nothing that is not ours is ever signalled.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

import psutil

from megaservice.cli.run_dir import RunDir
from megaservice.cli.supervisor_config import STOP_WAIT_SECONDS

#: Set for supervisord by `up` and inherited from there; its value is the run folder.
MARKER = "MEGASERVICE_SUPERVISED_BY"

_KILL_WAIT_SECONDS = 5.0


def marked_processes(run_dir: RunDir) -> list[psutil.Process]:
    """Return the living processes that `up` started for this run folder, directly or not, this one left out."""
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and _mark_of(process) == str(run_dir.path)
    ]


def is_alive(process: psutil.Process) -> bool:
    """Say whether a process still runs; one that ended and was not collected by its parent does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stop_marked_processes(run_dir: RunDir) -> int:
    """Stop what is left for this run folder; return how many processes there were.

    The topmost ones get SIGTERM, so that requests can finish, with the engine below them still there; what is alive
    40 s later gets SIGKILL. A process may start another one meanwhile, so this looks again until it finds none.
    """
    count = 0
    while processes := marked_processes(run_dir):
        count += len(processes)
        _stop(processes)
    return count


def _stop(processes: Sequence[psutil.Process]) -> None:
    pids = {process.pid for process in processes}
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.ppid() not in pids:
                process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=STOP_WAIT_SECONDS)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=_KILL_WAIT_SECONDS)


def listener_on(port: int) -> str | None:
    """Say which process listens on a TCP port, such as `nginx (pid 12)`; None where that cannot be told."""
    process = listening_process(port)
    try:
        return f"{_title(process)} (pid {process.pid})" if process else None
    except psutil.Error:
        return None


def listening_process(port: int) -> psutil.Process | None:
    """Return the process that listens on a TCP port; None where that cannot be told."""
    try:
        pids = [
            connection.pid
            for connection in psutil.net_connections(kind="tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        ]
        pid = next((pid for pid in pids if pid), None)
        return psutil.Process(pid) if pid else None
    except psutil.Error:
        return None


def _title(process: psutil.Process) -> str:
    """Name a process by its command line's first words: `python -m http.server` says more than `python3.11`."""
    words = process.cmdline()[:4]
    return " ".join([os.path.basename(words[0]), *words[1:]]) if words else process.name()


def _mark_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARKER) if is_alive(process) else None
    except (psutil.Error, OSError):
        return None  # gone meanwhile, or somebody else's
