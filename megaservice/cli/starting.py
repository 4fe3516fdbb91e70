"""`up`: start every service, wait until each one is ready, or say which one is not and why."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from megaservice.cli.containers import run_by_containers
from megaservice.cli.log_files import last_lines, size_of
from megaservice.cli.ports import port_problems
from megaservice.cli.processes import stop_marked_processes
from megaservice.cli.readiness import why_not_ready
from megaservice.cli.run_dir import RunDir
from megaservice.cli.services import Service
from megaservice.cli.supervisor import ProcessInfo, Supervisor
from megaservice.cli.supervisor_config import FINAL_EXIT_CODES
from megaservice.cli.waiting_notes import WaitingNotes
from servicekit.errors import ConfigurationError

#: A service that was started this often while `up` waits keeps crashing; more waiting would not help.
_MAX_STARTS = 3
_POLL_SECONDS = 0.05
#: After a failure, what the other services still get, so that all that is wrong is told at once.
_GRACE_SECONDS = 5.0
_SHOWN_LOG_LINES = 15
#: For the answer of a service that loads a model while another one is being downloaded.
_HASTY_SECONDS = 0.3
_EXIT_CONFIGURATION = 2


@dataclass(frozen=True, slots=True)
class Start:
    """What `start_services` found and did."""

    services: list[Service]
    #: Names of those it started; empty if all were running.
    started: list[str]
    #: How many processes of an earlier run, whose supervisor is gone, it had to stop first.
    stopped_leftovers: int
    #: Whether the settings have changed since the services were first started.
    settings_differ: bool
    #: Names of those that a container runs; they are left to it.
    in_containers: list[str]
    #: Where each log ended before; what follows was written since.
    log_sizes: dict[str, int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of the wait for one service."""

    service: Service
    #: None if it is ready.
    problem: str | None
    seconds: float
    log_lines: list[str] = field(default_factory=list)


def start_services(run_dir: RunDir, configured: Sequence[Service], *, ping: bool = True) -> Start:
    """Start supervisord if it does not run, and every service that does not run; returns without waiting.

    Args:
        run_dir: Where everything of this run lies.
        configured: The services as they are set now.
        ping: Whether the services ask their providers when they start; see launch.sh.

    Raises:
        ConfigurationError: A port that is needed is taken; nothing was started.
        SupervisorError: supervisord did not start or does not answer.
    """
    supervisor = Supervisor(run_dir)
    with run_dir.exclusive():
        runs_already = supervisor.answers()
        leftovers = 0 if runs_already else stop_marked_processes(run_dir)
        recorded = run_dir.recorded() if runs_already else None
        names = {service.name for service in recorded or ()}
        in_containers = run_by_containers(service for service in configured if service.name not in names)
        wanted = [service for service in configured if service not in in_containers]
        services = recorded or wanted
        processes = supervisor.processes() if runs_already else {}
        missing = [service for service in services if not _is_alive(processes.get(service.name))]
        if problems := port_problems(missing):
            raise ConfigurationError(*problems)
        if not runs_already:
            run_dir.remove_traces()
            run_dir.make()
            supervisor.start(services)
            run_dir.record(services)
        run_dir.choose_pings(wanted=ping)
        log_sizes = {service.name: size_of(run_dir.log(service.name)) for service in services}
        for service in missing:
            run_dir.started_file(service.name).unlink(missing_ok=True)
            supervisor.start_process(service.name)
    return Start(
        services=services,
        started=[service.name for service in missing],
        stopped_leftovers=leftovers,
        settings_differ=services != wanted,
        in_containers=[service.name for service in in_containers],
        log_sizes=log_sizes,
    )


def wait_until_ready(run_dir: RunDir, start: Start, timeout_seconds: float, notes: WaitingNotes) -> Iterator[Outcome]:
    """Give each service's outcome as soon as it is known; after a failure the others soon get theirs.

    While a model is being downloaded the time-out does not run.

    Raises:
        SupervisorError: supervisord ended meanwhile.
    """
    began = time.monotonic()
    deadline = began + timeout_seconds
    waiting = [_Wait(service) for service in start.services]
    has_failed = False
    supervisor = Supervisor(run_dir)
    while waiting:
        processes = supervisor.processes()
        downloads = notes.downloads_go_on()
        if downloads and not has_failed:
            deadline = max(deadline, time.monotonic() + timeout_seconds)
        timed_out = time.monotonic() > deadline
        for wait in list(waiting):
            process = processes.get(wait.service.name)
            if not wait.is_over(process, timed_out=timed_out, is_hasty=downloads):
                continue
            waiting.remove(wait)
            if wait.problem is not None:
                has_failed = True
                deadline = min(deadline, time.monotonic() + _GRACE_SECONDS)
            yield _outcome(run_dir, start, wait, time.monotonic() - began)
        notes.not_ready({wait.service.name: wait.reason for wait in waiting if wait.reason is not None})
        time.sleep(_POLL_SECONDS if waiting else 0)


class _Wait:
    """Watches one service until it is ready or cannot become so."""

    def __init__(self, service: Service) -> None:
        self.service = service
        #: Once it is over: None if the service is ready, else why there is no point in waiting longer.
        self.problem: str | None = None
        #: Why it was not ready when it was last looked at.
        self.reason: str | None = None
        self._pids: set[int] = set()

    def is_over(self, process: ProcessInfo | None, *, timed_out: bool, is_hasty: bool = False) -> bool:
        """Look once.

        Args:
            process: As supervisord sees it.
            timed_out: Whether this is the last look.
            is_hasty: Whether a service that is silent is left soon, since there is a download to show.
        """
        if process is None or not _will_run(process):
            self.problem = _why_ended(process)
            return True
        self._pids.update({process.pid} - {0})
        if len(self._pids) > _MAX_STARTS:
            self.problem = f"it keeps crashing ({_MAX_STARTS} times so far)"
            return True
        self.reason = why_not_ready(self.service, *([_HASTY_SECONDS] if is_hasty else []))
        self.problem = self.reason if timed_out else None
        return self.reason is None or timed_out


def _why_ended(process: ProcessInfo | None) -> str:
    if process is None:
        return "the supervisor that runs does not know it: `down`, then `up`, brings it in"
    if process.state == "EXITED":
        meaning = "a configuration that cannot work" if process.exit_code == _EXIT_CONFIGURATION else "it stopped"
        return f"it ended with exit code {process.exit_code} ({meaning})"
    return f"its process is {process.state.lower()}"


def _outcome(run_dir: RunDir, start: Start, wait: _Wait, seconds: float) -> Outcome:
    lines: list[str] = []
    if wait.problem is not None:
        name = wait.service.name
        lines = last_lines(run_dir.log(name), _SHOWN_LOG_LINES, start.log_sizes[name])
    return Outcome(wait.service, wait.problem, seconds, lines)


def _is_alive(process: ProcessInfo | None) -> bool:
    return process is not None and process.is_alive


def _will_run(process: ProcessInfo) -> bool:
    """Say whether it runs, or just crashed and is about to be started again."""
    return process.is_alive or (process.state == "EXITED" and process.exit_code not in FINAL_EXIT_CODES)
