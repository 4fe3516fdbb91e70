"""`doctor`: checks what the services need, and says for each what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from servicekit.environment import read_variables

if TYPE_CHECKING:
    from megaservice.settings import GatewaySettings
    from servicekit.checks.findings import Finding

EXIT_PROBLEMS = 1
_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@click.option("--no-ping", is_flag=True, help="Ask no provider whether it answers.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
def doctor(no_ping: bool, as_json: bool) -> int:
    """Check models.json, pipelines, keys, providers, addresses and ports, and say what to do about each problem.

    Exit codes: 0 nothing is wrong, 1 something is.
    """
    from servicekit.checks.findings import Verdict
    from servicekit.secret_mask import known_secrets

    known_secrets().add_variables(read_variables())
    findings = _findings(ping=not no_ping)
    problems = sum(finding.verdict is Verdict.PROBLEM for finding in findings)
    if as_json:
        shown = json.dumps({"ok": not problems, "findings": [asdict(finding) for finding in findings]}, indent=2)
        click.echo(known_secrets().masked(shown))
    else:
        for finding in findings:
            verdict = click.style(f"{finding.verdict:<8}", fg=_COLOURS[finding.verdict])
            click.echo(f"{verdict} {finding.subject}: {known_secrets().masked(finding.message)}")
    return EXIT_PROBLEMS if problems else 0


def _findings(*, ping: bool) -> list[Finding]:
    from megaservice.cli.doctor_checks import check_pipelines, check_services
    from megaservice.settings import GatewaySettings
    from servicekit.checks.addresses import check_variables
    from servicekit.checks.findings import Finding, Verdict
    from servicekit.checks.other_side import runs_in_container
    from servicekit.checks.telemetry import check_telemetry
    from servicekit.errors import ConfigurationError
    from servicekit.settings import load_settings

    variables = read_variables()
    findings: list[Finding] = []
    try:
        settings = load_settings(GatewaySettings)
        findings += check_pipelines(settings)
        findings += _model_findings(settings, variables, ping=ping)
    except ConfigurationError as exc:
        findings += [Finding(Verdict.PROBLEM, "settings", problem) for problem in exc.problems]
    findings += check_variables(variables, in_container=runs_in_container(variables))
    findings += check_telemetry(variables)
    findings += check_services(variables)
    return findings


def _model_findings(settings: GatewaySettings, variables: Mapping[str, str], *, ping: bool) -> list[Finding]:
    import asyncio

    from megaservice.cli.services import configured_services
    from servicekit.checks.addresses import check_targets
    from servicekit.checks.files import check_files
    from servicekit.checks.findings import Finding, Verdict
    from servicekit.checks.in_use import deployments_in_use
    from servicekit.checks.keys import check_keys
    from servicekit.checks.libraries import check_libraries
    from servicekit.checks.pings import ping_providers
    from servicekit.model_settings import catalog_from

    catalog = catalog_from(settings)
    uses = deployments_in_use(catalog)
    llm = next(service for service in configured_services(variables) if service.name == "llm")
    findings = [Finding(Verdict.OK, "models.json", f"{len(catalog.aliases)} aliases in {settings.models_file}")]
    findings += [*check_keys(uses), *check_libraries(uses), *check_files(uses, catalog.folder)]
    findings += check_targets(uses, [port for _, port in llm.ports])
    return [*findings, *asyncio.run(ping_providers(uses, variables))] if ping else findings
