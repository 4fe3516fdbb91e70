"""The key that a node wants: named in the pipeline file, kept in the environment or `.env`."""

from __future__ import annotations

from megaservice.pipeline.spec import NodeSpec
from servicekit.environment import read_variables
from servicekit.secret_mask import known_secrets


def key_headers(spec: NodeSpec) -> dict[str, str]:
    """Return the `authorization` header for a node; none where no key is named, or its variable is not set.

    Reads the environment, so it is for the start and not for requests. Of several keys, as `API_KEYS` may hold them,
    the first is sent.
    """
    value = read_variables().get(spec.api_key_env, "") if spec.api_key_env else ""
    key = value.split(",")[0].strip()
    known_secrets().add(value)
    return {"authorization": f"Bearer {key}"} if key else {}
