"""Files that were changed after the services that read them at their start: what runs knows nothing of the change."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import psutil

from megaservice.cli.run_dir import RunDir
from megaservice.cli.supervisor import Supervisor, SupervisorError
from servicekit.checks.findings import Finding, Verdict
from servicekit.environment import env_file

#: The services that read models.json; `.env` is read by all.
_READ_MODELS = ("llm", "grader", "gateway")


def check_changed_files(variables: Mapping[str, str], models_file: Path | None) -> Iterator[Finding]:
    """Look whether models.json or `.env` is newer than the services that run.

    Args:
        variables: Name the run folder.
        models_file: Where models.json is; None where that cannot be told.
    """
    started = _start_times(RunDir.from_variables(variables))
    if models_file is not None:
        yield from _newer(models_file, {name: at for name, at in started.items() if name in _READ_MODELS})
    yield from _newer(env_file(), started)


def _start_times(run_dir: RunDir) -> dict[str, float]:
    """Return when the process of each running service started, UNIX seconds."""
    try:
        processes = Supervisor(run_dir).processes()
    except SupervisorError:
        return {}
    times: dict[str, float] = {}
    for name, process in processes.items():
        try:
            if process.pid:
                times[name] = psutil.Process(process.pid).create_time()
        except psutil.Error:
            continue  # ended meanwhile
    return times


def _newer(file: Path, started: Mapping[str, float]) -> Iterator[Finding]:
    try:
        changed_at = file.stat().st_mtime
    except OSError:
        return  # whoever needs it says so
    older = [name for name, at in started.items() if at < changed_at]
    if older:
        said = f"{file.name} was changed after {_listed(older)} started: `make down up` takes it over."
        yield Finding(Verdict.WARNING, file.name, said)


def _listed(names: Collection[str]) -> str:
    *first, last = names
    return f"the services {', '.join(first)} and {last}" if first else f"the {last} service"
