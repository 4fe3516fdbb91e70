"""Whether the keys of the providers in use are set; nobody is asked whether they are right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from servicekit.checks.findings import Finding, Verdict
from servicekit.checks.in_use import DeploymentInUse


def check_keys(uses: Sequence[DeploymentInUse]) -> Iterator[Finding]:
    """Look for the key of each provider that needs one, and of no other.

    Providers of LiteLLM that need something else than one key (bedrock, vertex_ai, azure, ...) are left to the library,
    which is asked when the service starts.
    """
    needed: dict[str, DeploymentInUse] = {}
    for use in uses:
        variable = use.deployment.needed_key
        if variable is not None:
            needed.setdefault(variable, use)
    for variable, use in needed.items():
        if use.deployment.api_key() is not None:
            yield Finding(Verdict.OK, "keys", f"{variable} is set")
        else:
            needs = f"{use.deployment.provider}, which alias '{use.alias}' uses, needs {variable}"
            yield Finding(Verdict.PROBLEM, "keys", f"{needs}: set it in the environment or in .env.")
    if not needed:
        yield Finding(Verdict.OK, "keys", "no provider in use needs one")
