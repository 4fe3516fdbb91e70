"""Whether LiteLLM is installed where a provider in use needs it; it is not imported, which takes seconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from servicekit.checks.findings import Finding, Verdict
from servicekit.checks.in_use import DeploymentInUse
from servicekit.engines.litellm_thread import INSTALL_COMMAND


def check_libraries(uses: Sequence[DeploymentInUse]) -> Iterator[Finding]:
    """Look for the library, once for all that need it; its key and its provider are told of besides."""
    needing = [f"{use.deployment.provider} (alias '{use.alias}')" for use in uses if use.deployment.is_of_litellm]
    if not needing:
        return
    if find_spec("litellm") is not None:
        yield Finding(Verdict.OK, "LiteLLM", "it is installed")
    else:
        who = ", ".join(dict.fromkeys(needing))
        yield Finding(Verdict.PROBLEM, "LiteLLM", f"it is not installed, and needed by {who}. Do: {INSTALL_COMMAND}")
