"""What may be told about a pipeline: everything but secrets.

Keys are named by their variables in pipeline files; what else could hold one (the user info of a URL, a parameter
called `api_key`) is left out or masked here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from megaservice.pipeline.problems import Problem
from megaservice.pipeline.spec import PipelineSpec
from servicekit.secret_mask import MASK, known_secrets

_SECRET_NAME = re.compile(
    r"(?i)(api[-_]?key|secret|password|passwd|authorization|credential|signature|(^|[-_])(token|sig|key)$)"
)
_QUERY_VALUE = re.compile(r"(?<=[?&])([^=&#\s'\"]+)=([^&#\s'\"]*)")


def public_text(text: str) -> str:
    """Return a text with known secrets, the user info of its URLs and the secrets in their queries masked."""
    return _QUERY_VALUE.sub(_masked_pair, known_secrets().masked(text))


def public_spec(spec: PipelineSpec) -> dict[str, Any]:
    """Return a pipeline as declared, without defaults and without secrets."""
    values: dict[str, Any] = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {name: _public(name, value) for name, value in values.items()}


def public_problem(problem: Problem) -> dict[str, Any]:
    """Return a problem with the name of its file; where the folder lies is nobody's business."""
    file = problem.file.rsplit("/", 1)[-1]
    return {"file": file, "line": problem.line, "column": problem.column, "message": public_text(problem.message)}


def _public(name: str, value: Any) -> Any:  # noqa: ANN401 - any part of a pipeline file
    if isinstance(value, Mapping):
        return {key: _public(str(key), item) for key, item in value.items()}
    if isinstance(value, list):
        return [_public(name, item) for item in value]
    if not isinstance(value, str):
        return value
    return MASK if name != "api_key_env" and _SECRET_NAME.search(name) else public_text(value)


def _masked_pair(pair: re.Match[str]) -> str:
    name, value = pair.groups()
    return f"{name}={MASK if _SECRET_NAME.search(name) else value}"
