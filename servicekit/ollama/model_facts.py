"""What Ollama's clients are told of a model: name, size, date, digest, details."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from servicekit.engines.registry import EngineRegistry
from servicekit.models import Deployment


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One name that can be asked for, and the file or place behind it.

    Attributes:
        name: The alias, or the model's own name.
        deployment: The first one behind it.
        size_bytes: Of its GGUF file; 0 if it is elsewhere, or not there.
        modified: When that file was written; the epoch if there is none.
        is_here: Whether the model's file is on this machine.
    """

    name: str
    deployment: Deployment
    size_bytes: int
    modified: datetime
    is_here: bool

    def listed(self) -> dict[str, Any]:
        """Return its line in `/api/tags`."""
        return {
            "name": self.name,
            "model": self.name,
            "modified_at": self.modified.isoformat().replace("+00:00", "Z"),
            "size": self.size_bytes,
            "digest": self._digest(),
            "details": self.details(),
        }

    def details(self) -> dict[str, Any]:
        """Return what is known of the model itself."""
        provider = self.deployment.provider
        return {
            "parent_model": "",
            "format": "gguf" if provider == "embedded" else "",
            "family": provider,
            "families": [provider],
            "parameter_size": "",
            "quantization_level": "",
        }

    def _digest(self) -> str:
        """Return a digest that changes when another file or place is behind the name; a file's bytes are not read."""
        parts = (self.deployment.provider, self.deployment.model, self.deployment.openai_url)
        text = "\0".join(str(part) for part in (*parts, self.size_bytes, self.modified.timestamp()))
        return hashlib.sha256(text.encode()).hexdigest()


def facts_of(registry: EngineRegistry, name: str) -> ModelFacts:
    """Return the facts of a name; reads the file system, so call it in a thread.

    Raises:
        ModelNotFoundError: There is no such name here.
    """
    deployment = registry.catalog.find(name)
    path = gguf_file(registry, deployment)
    if path is not None and path.is_file():
        stat = path.stat()
        return ModelFacts(name, deployment, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC), True)
    return ModelFacts(name, deployment, 0, datetime.fromtimestamp(0, UTC), False)


def gguf_file(registry: EngineRegistry, deployment: Deployment) -> Path | None:
    """Return the file of an embedded model, None for all others."""
    return deployment.gguf_path(registry.catalog.folder) if deployment.provider == "embedded" else None
