"""What `doctor` looks at besides what services check themselves: ports, pipeline files, and the services that run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from megaservice.cli.ports import port_problems
from megaservice.cli.readiness import why_not_ready
from megaservice.cli.run_dir import RunDir
from megaservice.cli.services import SERVICES, configured_services
from megaservice.pipeline_files import read_folder
from servicekit.checks.findings import Finding, Verdict
from servicekit.errors import ConfigurationError


def check_port_numbers(variables: Mapping[str, str]) -> tuple[list[Finding], dict[str, str]]:
    """Look whether the variables of ports hold port numbers.

    Returns:
        A problem for each that does not, and what the other checks may use in the place of the wrong ones, so that
        they find no problems that only follow from these.
    """
    findings: list[Finding] = []
    instead: dict[str, str] = {}
    for definition in SERVICES:
        try:
            configured_services(variables, [definition])
        except ConfigurationError as exc:
            findings += [Finding(Verdict.PROBLEM, "settings", problem) for problem in exc.problems]
            instead |= dict.fromkeys(definition.port_variables, str(definition.default_port))
            instead |= {definition.extra_port_variable: ""} if definition.extra_port_variable else {}
    return findings, instead


def with_instead(variables: Mapping[str, str], instead: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with what `check_port_numbers` gave in the place of wrong ones; empty means unset."""
    return {name: value for name, value in {**variables, **instead}.items() if value}


def check_pipelines(folder: Path, variables: Mapping[str, str]) -> Iterator[Finding]:
    """Look for problems in the pipeline files.

    Args:
        folder: Where they are.
        variables: Fill `${VAR:-default}`.
    """
    reading = read_folder(folder, lambda: variables)
    problems = [*reading.problems, *reading.shared]
    for problem in problems:
        yield Finding(Verdict.PROBLEM, "pipelines", str(problem))
    if not reading.files:
        yield Finding(Verdict.PROBLEM, "pipelines", f"{folder} holds no pipeline file (*.yaml).")
    elif not problems:
        yield Finding(Verdict.OK, "pipelines", f"{len(reading.files)} files in {folder}")


def check_services(variables: Mapping[str, str]) -> Iterator[Finding]:
    """Look whether the services run and are ready; where they do not, whether their ports are free."""
    running = RunDir.from_variables(variables).recorded()
    if running is None:
        yield from _check_free_ports(variables)
        return
    for service in running:
        problem = why_not_ready(service)
        verdict = Verdict.OK if problem is None else Verdict.PROBLEM
        yield Finding(verdict, service.name, f"ready on {service.url}" if problem is None else f"not ready: {problem}")


def _check_free_ports(variables: Mapping[str, str]) -> Iterator[Finding]:
    try:
        services = configured_services(variables)
    except ConfigurationError:
        return  # check_port_numbers says so
    problems = port_problems(services)
    yield from (Finding(Verdict.PROBLEM, "ports", problem) for problem in problems)
    if not problems:
        ports = ", ".join(str(port) for service in services for _, port in service.ports)
        yield Finding(Verdict.OK, "ports", f"{ports} are free; `make up` starts the services")
