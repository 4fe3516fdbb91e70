"""A model's name as Ollama understands it: a name without a tag is the one tagged `latest`."""

from __future__ import annotations

from collections.abc import Collection

from servicekit.engines.base import Engine
from servicekit.engines.registry import EngineRegistry
from servicekit.errors import InvalidRequestError

_LATEST = ":latest"


def known_name(name: str, known: Collection[str]) -> str:
    """Return the name of ours that Ollama would take for this one; the name itself if there is none.

    Source: https://github.com/ollama/ollama/blob/main/docs/api.md#model-names
    """
    stem = name.removesuffix(_LATEST)
    other = stem if stem != name else name + _LATEST
    has_another_tag = ":" in stem.rpartition("/")[2]
    return other if name not in known and other in known and not has_another_tag else name


def engine_named(registry: EngineRegistry, name: str | None) -> Engine:
    """Return the engine that answers for a name; Ollama has no default.

    Raises:
        InvalidRequestError: No name was given.
        ModelNotFoundError: There is no such name here.
    """
    if not name:
        there = ", ".join(registry.names)
        raise InvalidRequestError(f"model is required. The models there are: {there}.", param="model")
    return registry.engine_for(known_name(name, registry.names))
