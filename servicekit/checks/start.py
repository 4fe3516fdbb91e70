"""What a service that runs engines checks before it starts; docs/decisions/0018-checks-at-start.md says why."""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from servicekit.checks.addresses import check_targets
from servicekit.checks.files import check_files
from servicekit.checks.findings import Finding, Verdict
from servicekit.checks.in_use import DeploymentInUse, deployments_in_use
from servicekit.checks.keys import check_keys
from servicekit.checks.libraries import check_libraries
from servicekit.checks.pings import ping_providers
from servicekit.checks.ports import check_ports
from servicekit.checks.telemetry import check_telemetry
from servicekit.environment import read_variables
from servicekit.errors import ConfigurationError
from servicekit.models import ModelCatalog

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StartChecks:
    """What is to be checked.

    Attributes:
        load: Reads the catalog; may raise `ConfigurationError`.
        host: Where the service listens.
        ports: On which ports.
        default_only: Whether only the default model is used, as the grader does.
        ping: Whether providers are asked.
    """

    load: Callable[[], ModelCatalog]
    host: str
    ports: Sequence[int]
    default_only: bool = False
    ping: bool = True


def wants_pings(module: str, arguments: Sequence[str]) -> bool:
    """Return whether providers are to be asked, from a service's command line; a mistake in it exits with 2."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}", description="Settings come from the environment and .env.", allow_abbrev=False
    )
    parser.add_argument("--no-ping", action="store_true", help="ask no provider whether it is there")
    return not parser.parse_args(arguments).no_ping


def check_before_start(checks: StartChecks) -> None:
    """Log what is doubtful, and refuse to start with what cannot work.

    Raises:
        ConfigurationError: With every problem that was found.
    """
    findings = [*check_ports(checks.host, checks.ports), *_catalog_findings(checks)]
    problems = []
    for finding in findings:
        if finding.verdict is Verdict.PROBLEM:
            problems.append(f"{finding.subject}: {finding.message}" if finding.subject else finding.message)
        elif finding.verdict is Verdict.WARNING:
            _log.warning("%s: %s", finding.subject, finding.message)
    if problems:
        raise ConfigurationError(*problems)


def _catalog_findings(checks: StartChecks) -> list[Finding]:
    try:
        catalog = checks.load()
    except ConfigurationError as exc:
        return [Finding(Verdict.PROBLEM, "", problem) for problem in exc.problems]
    uses = deployments_in_use(catalog, [catalog.default_name] if checks.default_only else None)
    findings = [*check_keys(uses), *check_libraries(uses), *check_files(uses, catalog.folder)]
    findings += check_targets(uses, checks.ports)
    wrong = {finding.subject for finding in findings if finding.verdict is Verdict.PROBLEM}
    askable = [use for use in uses if f"model {use.alias}" not in wrong]
    return [*findings, *_network_findings(askable, ping=checks.ping)]


def _network_findings(uses: Sequence[DeploymentInUse], *, ping: bool) -> list[Finding]:
    """Ask whoever is to be asked; where that is nobody, as with embedded models, it costs nothing."""
    variables = read_variables()
    asked = [use for use in uses if ping and use.deployment.provider != "embedded"]
    if not asked and "TELEMETRY_ENDPOINT" not in variables:
        return []

    async def ask() -> list[Finding]:
        telemetry = asyncio.to_thread(lambda: list(check_telemetry(variables)))
        found = await asyncio.gather(ping_providers(asked, variables, not_pulled=Verdict.WARNING), telemetry)
        return [finding for findings in found for finding in findings]

    return asyncio.run(ask())
