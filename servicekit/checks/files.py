"""Whether the files of embedded models are there; what is in them llama.cpp's start tells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from servicekit.checks.findings import Finding, Verdict
from servicekit.checks.in_use import DeploymentInUse


def check_files(uses: Sequence[DeploymentInUse], folder: Path) -> Iterator[Finding]:
    """Look for the file of each embedded model.

    Args:
        uses: The deployments.
        folder: Of models.json, where relative paths start.
    """
    for use in uses:
        if use.deployment.provider != "embedded":
            continue
        path, subject = use.deployment.gguf_path(folder), f"model {use.alias}"
        if path.is_file():
            yield Finding(Verdict.OK, subject, f"embedded: {path.name}")
        elif use.deployment.hub_reference is not None:
            yield Finding(Verdict.OK, subject, f"embedded: the start fetches {use.deployment.model} from Hugging Face")
        else:
            remedy = "Correct the alias's model in compose/models.json, or in the file that MODELS_FILE names."
            yield Finding(Verdict.PROBLEM, subject, f"there is no file {path}. {remedy}")
