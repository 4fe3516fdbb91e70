"""`status`: what runs, since when, and whether it is ready."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from megaservice.cli.processes import marked_processes
from megaservice.cli.readiness import why_not_ready
from megaservice.cli.run_dir import RunDir
from megaservice.cli.services import Service
from megaservice.cli.supervisor import ProcessInfo, Supervisor, SupervisorError

_HEADINGS = ("SERVICE", "STATE", "PID", "PORT", "UPTIME", "READY")


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One row of the table."""

    service: Service
    state: str
    pid: int
    uptime_seconds: int
    #: None if it is ready.
    not_ready: str | None


def service_statuses(run_dir: RunDir, configured: Sequence[Service]) -> list[ServiceStatus]:
    """Look at every service that was started, or would be."""
    services = run_dir.recorded() or configured
    try:
        processes = Supervisor(run_dir).processes()
    except SupervisorError:
        processes = {}
    return [_status(service, processes.get(service.name)) for service in services]


def orphan_count(run_dir: RunDir) -> int:
    """Return how many processes run on although their supervisor is gone."""
    return 0 if Supervisor(run_dir).answers() else len(marked_processes(run_dir))


def _status(service: Service, process: ProcessInfo | None) -> ServiceStatus:
    if process is None or not process.is_alive:
        state = process.state.lower() if process else "stopped"
        return ServiceStatus(service, state, 0, 0, "not running")
    return ServiceStatus(service, process.state.lower(), process.pid, process.uptime_seconds, why_not_ready(service))


def format_table(statuses: Sequence[ServiceStatus]) -> str:
    """Return the table, columns as wide as they need to be."""
    rows = [_HEADINGS, *(_cells(status) for status in statuses)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _cells(status: ServiceStatus) -> tuple[str, ...]:
    return (
        status.service.name,
        status.state,
        str(status.pid) if status.pid else "-",
        ", ".join(str(port) for _, port in status.service.ports),
        format_duration(status.uptime_seconds) if status.pid else "-",
        "ready" if status.not_ready is None else status.not_ready,
    )


def format_duration(seconds: int) -> str:
    """Write a duration with its two largest units, such as `2 h 5 min`."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{value} {unit}" for value, unit in ((days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s"))]
    first = next((index for index, part in enumerate(parts) if not part.startswith("0 ")), len(parts) - 1)
    return " ".join(parts[first : first + 2])
