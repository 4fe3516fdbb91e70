"""`doctor`: checks what the services need, and says for each what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
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
    """Return what was found: what is wrong with variables first, and nothing that only follows from that."""
    from megaservice.cli.changed_files import check_changed_files
    from megaservice.cli.doctor_checks import check_pipelines, check_port_numbers, check_services, with_instead
    from megaservice.cli.unknown_variables import check_unknown_variables
    from megaservice.settings import pipeline_variables
    from servicekit.checks.addresses import check_variables
    from servicekit.checks.other_side import runs_in_container
    from servicekit.checks.telemetry import check_telemetry

    variables = read_variables()
    wrong, instead = check_port_numbers(variables)
    settings, found = _settings(variables, wrong)
    in_container = runs_in_container(variables)
    addresses = list(check_variables(variables, in_container=in_container))
    findings = [*wrong, *found, *addresses]
    if settings is not None:
        filling = with_instead(pipeline_variables(), instead)
        unusable = list(check_variables(filling, in_container=in_container))
        filling = {name: value for name, value in filling.items() if not _names(name, unusable)}
        findings += check_pipelines(settings.pipelines_dir, filling)
        findings += _model_findings(settings, with_instead(variables, instead), ping=ping)
    if not _names("TELEMETRY_ENDPOINT", addresses):
        findings += check_telemetry(variables)
    findings += check_unknown_variables(settings.pipelines_dir if settings else None)
    findings += check_changed_files(variables, settings.models_file if settings else None)
    findings += check_services(variables)
    return findings


def _settings(variables: Mapping[str, str], known: Sequence[Finding]) -> tuple[GatewaySettings | None, list[Finding]]:
    """Return the gateway's settings, or the problems with them that are not known yet."""
    from megaservice.settings import GatewaySettings
    from servicekit.checks.findings import Finding, Verdict
    from servicekit.errors import ConfigurationError
    from servicekit.settings import load_settings

    try:
        return load_settings(GatewaySettings), []
    except ConfigurationError as exc:
        found = [Finding(Verdict.PROBLEM, "settings", problem) for problem in exc.problems]
    return None, [finding for finding in found if not _repeats(finding, known, variables)]


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
    from servicekit.errors import ConfigurationError
    from servicekit.model_settings import catalog_from

    try:
        catalog = catalog_from(settings)
    except ConfigurationError as exc:
        return [Finding(Verdict.PROBLEM, "settings", problem) for problem in exc.problems]
    uses = deployments_in_use(catalog)
    llm = next(service for service in configured_services(variables) if service.name == "llm")
    findings = [Finding(Verdict.OK, "models.json", f"{len(catalog.aliases)} aliases in {settings.models_file}")]
    findings += [*check_keys(uses), *check_libraries(uses), *check_files(uses, catalog.folder)]
    findings += check_targets(uses, [port for _, port in llm.ports])
    return [*findings, *asyncio.run(ping_providers(uses, variables))] if ping else findings


def _repeats(finding: Finding, known: Sequence[Finding], variables: Mapping[str, str]) -> bool:
    """Return whether another finding is about the same variable."""
    return any(_names(name, [finding]) and _names(name, known) for name in variables)


def _names(variable: str, findings: Sequence[Finding]) -> bool:
    """Return whether a finding is about the variable: each of these begins with its name."""
    return any(re.match(rf"(Setting )?{re.escape(variable)}( is|:) ", finding.message) for finding in findings)
