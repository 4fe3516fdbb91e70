"""`doctor`: checks what the services need, and says for each what to do."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from servicekit.environment import read_variables

if TYPE_CHECKING:
    from megaservice.cli.doctor_checks import Finding

EXIT_PROBLEMS = 1
_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@click.option("--no-ping", is_flag=True, help="Ask no provider whether it answers.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
def doctor(no_ping: bool, as_json: bool) -> int:
    """Check models.json, pipelines, keys, providers, addresses and ports, and say what to do about each problem.

    Exit codes: 0 nothing is wrong, 1 something is.
    """
    from megaservice.cli.doctor_checks import Verdict
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
    from megaservice.cli import doctor_checks as checks
    from megaservice.cli.doctor_pings import ping_providers
    from megaservice.settings import GatewaySettings
    from servicekit.errors import ConfigurationError
    from servicekit.model_settings import catalog_from
    from servicekit.settings import load_settings

    variables = read_variables()
    findings: list[Finding] = []
    try:
        settings = load_settings(GatewaySettings)
        findings += checks.check_pipelines(settings)
        catalog = catalog_from(settings)
        aliases = f"{len(catalog.aliases)} aliases in {settings.models_file}"
        findings.append(checks.Finding(checks.Verdict.OK, "models.json", aliases))
        findings += checks.check_keys(catalog)
        if ping:
            findings += ping_providers(catalog)
    except ConfigurationError as exc:
        findings += [checks.Finding(checks.Verdict.PROBLEM, "settings", problem) for problem in exc.problems]
    findings += checks.check_addresses(variables)
    findings += checks.check_telemetry(variables)
    findings += checks.check_services(variables)
    return findings
