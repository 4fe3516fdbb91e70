"""What `doctor` looks at that needs no network: configuration, keys, addresses, ports."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from megaservice.cli.ports import port_problems
from megaservice.cli.readiness import why_not_ready
from megaservice.cli.run_dir import RunDir
from megaservice.cli.services import configured_services
from megaservice.pipeline_files import read_folder
from megaservice.settings import GatewaySettings, pipeline_variables
from servicekit.errors import ConfigurationError
from servicekit.models import Deployment, ModelCatalog

#: Addresses to listen on, which nobody can be called at.
_ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - looked for, not bound
_CONNECT_SECONDS = 2.0


class Verdict(StrEnum):
    """What came of one check."""

    OK = "ok"
    #: It works, but not as somebody may think.
    WARNING = "warning"
    #: It will not work.
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about one thing: what is there or, where it is wrong, what to do."""

    verdict: Verdict
    subject: str
    message: str


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


def deployments_in_use(catalog: ModelCatalog) -> Iterator[tuple[str, Deployment]]:
    """Yield each deployment of models.json with the first alias that has it."""
    seen: list[Deployment] = []
    for alias, entry in catalog.aliases.items():
        for deployment in entry.deployments:
            if deployment not in seen:
                seen.append(deployment)
                yield alias, deployment


def check_keys(catalog: ModelCatalog) -> Iterator[Finding]:
    """Look for the keys of the providers in use."""
    needed: dict[str, tuple[str, Deployment]] = {}
    for alias, deployment in deployments_in_use(catalog):
        if deployment.key_variable is not None:
            needed.setdefault(deployment.key_variable, (alias, deployment))
    for variable, (alias, deployment) in needed.items():
        if deployment.api_key() is not None:
            yield Finding(Verdict.OK, "keys", f"{variable} is set")
        else:
            use = f"{deployment.provider}, which alias '{alias}' uses, needs"
            yield Finding(Verdict.PROBLEM, "keys", f"{use} {variable}: set it in the environment or in .env.")
    if not needed:
        yield Finding(Verdict.OK, "keys", "no provider in use needs one")


def check_addresses(variables: Mapping[str, str]) -> Iterator[Finding]:
    """Look for addresses to call that are only good for listening."""
    for name in sorted({name.upper() for name in variables}):
        is_target = name.endswith(("_HOST_IP", "_ENDPOINT")) or name == "HOST_IP"
        value = variables[name] if is_target else ""
        host = urlsplit(value).hostname if "://" in value else value
        if host in _ANY_ADDRESS:
            wrong = f"{name} is {value}: that is an address to listen on, not one to call."
            yield Finding(Verdict.PROBLEM, "addresses", f"{wrong} Write 127.0.0.1 or the machine's address.")


def check_telemetry(variables: Mapping[str, str]) -> Iterator[Finding]:
    """Look whether somebody listens at the telemetry endpoint, if there is one."""
    endpoint = variables.get("TELEMETRY_ENDPOINT")
    if endpoint is None:
        return
    parts = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
    try:
        address = (parts.hostname or "", parts.port or 4318)
        with socket.create_connection(address, timeout=_CONNECT_SECONDS):
            yield Finding(Verdict.OK, "telemetry", "TELEMETRY_ENDPOINT is listened on")
    except (OSError, ValueError):
        lost = "TELEMETRY_ENDPOINT is set, but nobody listens there; traces are lost."
        yield Finding(Verdict.WARNING, "telemetry", f"{lost} Unset it, or start the collector.")


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
