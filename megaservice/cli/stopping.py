"""`down`: stop every service and its supervisor, and leave nothing behind."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import psutil

from megaservice.cli.processes import stop_marked_processes
from megaservice.cli.run_dir import RunDir
from megaservice.cli.supervisor import Supervisor, SupervisorError
from megaservice.cli.supervisor_config import STOP_WAIT_SECONDS


@dataclass(frozen=True, slots=True)
class Stop:
    """What `stop_services` found and did."""

    #: The services that ran under the supervisor.
    stopped: list[str]
    #: How many processes were left without a supervisor.
    leftovers: int


def stop_services(run_dir: RunDir) -> Stop:
    """Stop what runs for this run folder, and wait for its end; doing so twice is fine."""
    with run_dir.exclusive():
        stopped = _stop_supervisor(Supervisor(run_dir))
        leftovers = stop_marked_processes(run_dir)
        run_dir.remove_traces()
    return Stop(stopped, leftovers)


def _stop_supervisor(supervisor: Supervisor) -> list[str]:
    """Let supervisord stop its services in order; return their names."""
    try:
        processes = supervisor.processes()
        process = psutil.Process(supervisor.pid())
        supervisor.shut_down()
    except (SupervisorError, psutil.NoSuchProcess):
        return []
    with suppress(psutil.TimeoutExpired):
        process.wait(timeout=STOP_WAIT_SECONDS * len(processes) + STOP_WAIT_SECONDS)
    return [name for name, info in processes.items() if info.is_alive]
