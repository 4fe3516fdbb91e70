"""The dialect of the GenAI Microservices Connector: a resource `GMConnector` whose routers nest.

A Sequence becomes edges, an Ensemble nodes side by side, a Switch a switch, and a condition a JMESPath expression. How
the connector itself goes through them: microservices-connector/cmd/router of https://github.com/opea-project/GenAIInfra.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from megaservice.pipeline.dialects.dialect import TOP_KEYS, Dialect
from megaservice.pipeline.dialects.gmc_routes import RouteWalk
from megaservice.pipeline.dialects.gmc_shape import GROUP, KIND, ROOT, Router
from megaservice.pipeline.dialects.opea import MEGA_KEY, NODES_KEY
from megaservice.pipeline.located_yaml import LocatedYaml, Path
from megaservice.pipeline.wording import note_validation_problems, unknown_key
from servicekit.nearest import nearest

ROUTERS: Path = ("spec", "nodes")
_SPEC_KEYS = ("nodes", "routerConfig")


def translate_gmc(document: LocatedYaml) -> None:
    """Turn a document in the connector's dialect into OPEA's, whose reader goes on with it."""
    data: dict[str, Any] = document.data
    _check_head(document, data)
    walk = RouteWalk(document, dict(_routers(document, data)), str(_metadata(data).get("namespace") or ""))
    walk.run()
    document.excuse(lambda path: path[:2] != ROUTERS)
    mega: dict[str, Any] = {"mega_flow": walk.rules}
    name = re.sub(r"[^a-z0-9]+", "-", str(_metadata(data).get("name") or "").lower()).strip("-")
    if name:
        mega["name"] = name
        document.aliases[(MEGA_KEY, "name")] = ("metadata", "name")
    document.aliases.update({(NODES_KEY,): ROUTERS, (MEGA_KEY,): ROUTERS})
    document.data = {NODES_KEY: walk.nodes, MEGA_KEY: mega}


def _metadata(data: dict[str, Any]) -> dict[str, Any]:
    metadata = data.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _check_head(document: LocatedYaml, data: dict[str, Any]) -> None:
    for key in data:
        if key not in TOP_KEYS[Dialect.GMC]:
            document.problem((str(key),), unknown_key(str(key), TOP_KEYS[Dialect.GMC]))
    if data.get("kind") != KIND:
        hint = nearest(str(data.get("kind")), [KIND])
        document.problem(("kind",), f"'kind': expected '{KIND}', found '{data.get('kind')}'.{hint}")
    version = str(data.get("apiVersion"))
    if not version.startswith(GROUP):
        document.problem(("apiVersion",), f"'apiVersion': expected '{GROUP}v1alpha3', found '{version}'.")


def _routers(document: LocatedYaml, data: dict[str, Any]) -> Iterator[tuple[str, Router | None]]:
    """Yield every router, None for one that is wrong."""
    spec = data.get("spec")
    if not isinstance(spec, dict):
        document.problem(("spec",), "'spec' must be a mapping with 'nodes'.")
        return
    for key in spec:
        if key not in _SPEC_KEYS:
            document.problem(("spec", str(key)), unknown_key(str(key), _SPEC_KEYS))
    if "routerConfig" in spec:
        document.note(("spec", "routerConfig"), "'routerConfig' is about the connector's own router; it has no effect.")
    routers = spec.get("nodes")
    if not isinstance(routers, dict) or not routers:
        document.problem(ROUTERS, f"'nodes' must be a mapping of routers with at least '{ROOT}'.")
        return
    for name, fields in routers.items():
        if not isinstance(fields, dict):
            message = f"router '{name}' must be a mapping with 'routerType' and 'steps'."
            document.problem((*ROUTERS, str(name)), message)
            yield str(name), None
            continue
        try:
            yield str(name), Router.model_validate(fields)
        except ValidationError as exc:
            note_validation_problems(document, exc, Router, (*ROUTERS, str(name)))
            yield str(name), None
