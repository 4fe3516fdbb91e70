"""`down`: stop every service and its supervisor, and leave nothing behind."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

from megaservice.cli.processes import is_alive, stop_marked_processes
from megaservice.cli.run_dir import RunDir
from megaservice.cli.supervisor import Supervisor, SupervisorError
from megaservice.cli.supervisor_config import STOP_WAIT_SECONDS

_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Stop:
    """What `stop_services` found and did."""

    #: The services that ran under the supervisor, in the order in which they were stopped.
    stopped: list[str]
    #: How many processes were left without a supervisor.
    leftovers: int


def stop_services(run_dir: RunDir) -> Stop:
    """Stop what runs for this run folder, and wait for its end; doing so twice is fine."""
    with run_dir.exclusive():
        services = run_dir.recorded() or []
        running = _stop_supervisor(Supervisor(run_dir))
        leftovers = stop_marked_processes(run_dir)
        run_dir.remove_traces()
    stopped = [service.name for service in reversed(services) if service.name in running]
    return Stop(stopped or sorted(running), leftovers)


def _stop_supervisor(supervisor: Supervisor) -> set[str]:
    """Let supervisord stop its services in order; return the names of those that ran."""
    try:
        processes = supervisor.processes()
        process = psutil.Process(supervisor.pid())
        supervisor.shut_down()
    except (SupervisorError, psutil.NoSuchProcess):
        return set()
    deadline = time.monotonic() + STOP_WAIT_SECONDS * (len(processes) + 1)
    while is_alive(process) and time.monotonic() < deadline:
        supervisor.answers()  # each request wakes its loop, which else looks at ended children once a second
        time.sleep(_POLL_SECONDS)
    return {name for name, info in processes.items() if info.is_alive}
