"""The deployments that a process will ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from servicekit.models import Deployment, ModelCatalog, ModelEntry, ModelGroup


@dataclass(frozen=True, slots=True)
class DeploymentInUse:
    """One deployment.

    Attributes:
        alias: The first alias that has it, for messages.
        deployment: What models.json says of it.
        has_stand_in: Whether every alias that has it has another deployment or a fallback besides.
    """

    alias: str
    deployment: Deployment
    has_stand_in: bool


def deployments_in_use(catalog: ModelCatalog, names: Sequence[str] | None = None) -> list[DeploymentInUse]:
    """Return each distinct deployment once, in the order of models.json.

    Args:
        catalog: The checked file.
        names: Only what answers for these, their fallbacks included; None means every alias.

    Raises:
        ModelNotFoundError: One of `names` is not in the catalog.
    """
    found: list[DeploymentInUse] = []
    for alias, entry in _wanted(catalog, names).items():
        has_stand_in = len(entry.deployments) > 1 or entry.fallback is not None
        found += [DeploymentInUse(alias, deployment, has_stand_in) for deployment in entry.deployments]
    merged: list[DeploymentInUse] = []
    for use in found:
        if all(use.deployment != known.deployment for known in merged):
            same = [other for other in found if other.deployment == use.deployment]
            merged.append(DeploymentInUse(use.alias, use.deployment, all(other.has_stand_in for other in same)))
    return merged


def _wanted(catalog: ModelCatalog, names: Sequence[str] | None) -> dict[str, ModelEntry | ModelGroup]:
    if names is None:
        return catalog.aliases
    wanted: dict[str, ModelEntry | ModelGroup] = {}
    for name in names:
        following: str | None = name
        while following is not None and following not in wanted:
            wanted[following] = catalog.alias(following)
            following = wanted[following].fallback
    return wanted
