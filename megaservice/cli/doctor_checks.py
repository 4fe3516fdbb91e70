"""What `doctor` looks at besides what services check themselves: pipeline files, and the services that run or could."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from megaservice.cli.ports import port_problems
from megaservice.cli.readiness import why_not_ready
from megaservice.cli.run_dir import RunDir
from megaservice.cli.services import configured_services
from megaservice.pipeline_files import read_folder
from megaservice.settings import GatewaySettings, pipeline_variables
from servicekit.checks.findings import Finding, Verdict
from servicekit.errors import ConfigurationError


def check_pipelines(settings: GatewaySettings) -> Iterator[Finding]:
    """Look for problems in the pipeline files."""
    reading = read_folder(settings.pipelines_dir, pipeline_variables)
    problems = [*reading.problems, *reading.shared]
    for problem in problems:
        yield Finding(Verdict.PROBLEM, "pipelines", str(problem))
    if not reading.files:
        yield Finding(Verdict.PROBLEM, "pipelines", f"{settings.pipelines_dir} holds no pipeline file (*.yaml).")
    elif not problems:
        yield Finding(Verdict.OK, "pipelines", f"{len(reading.files)} files in {settings.pipelines_dir}")


def check_services(variables: Mapping[str, str]) -> Iterator[Finding]:
    """Look whether the services run and are ready; where they do not, whether their ports are free."""
    running = RunDir.from_variables(variables).recorded()
    if running is None:
        try:
            services = configured_services(variables)
        except ConfigurationError as exc:
            yield from (Finding(Verdict.PROBLEM, "ports", problem) for problem in exc.problems)
            return
        problems = port_problems(services)
        yield from (Finding(Verdict.PROBLEM, "ports", problem) for problem in problems)
        if not problems:
            ports = ", ".join(str(port) for service in services for _, port in service.ports)
            yield Finding(Verdict.OK, "ports", f"{ports} are free; `make up` starts the services")
        return
    for service in running:
        problem = why_not_ready(service)
        verdict = Verdict.OK if problem is None else Verdict.PROBLEM
        yield Finding(verdict, service.name, f"ready on {service.url}" if problem is None else f"not ready: {problem}")
