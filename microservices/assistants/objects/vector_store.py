"""A vector store: files that are searched together."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Literal

from microservices.assistants.objects.json_object import JsonObject, Metadata

SECONDS_PER_DAY = 86_400


#: Where a file of a vector store stands; only what is in progress changes by itself.
IndexStatus = Literal["in_progress", "completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class FileCounts:
    """How many files of a vector store or batch stand where."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    def to_json(self) -> JsonObject:
        """Return the object of the API."""
        counts = asdict(self)
        return {**counts, "total": sum(counts.values())}


@dataclass(frozen=True, slots=True)
class VectorStore:
    """One row of the vector stores; see https://platform.openai.com/docs/api-reference/vector-stores/object."""

    id: str
    #: Whose key made it; "" where no keys are asked for. Never shown.
    owner: str
    created_at: int
    last_active_at: int
    name: str = ""
    description: str | None = None
    #: `{"anchor": "last_active_at", "days": n}`, or None: it stays.
    expires_after: JsonObject | None = None
    metadata: Metadata = field(default_factory=dict)

    @property
    def expires_at(self) -> int | None:
        """When it expires unless it is used before, UNIX seconds."""
        if self.expires_after is None:
            return None
        return self.last_active_at + int(self.expires_after["days"]) * SECONDS_PER_DAY

    def is_expired(self, now: int) -> bool:
        """Whether it has expired: it is shown, but not searched."""
        return self.expires_at is not None and self.expires_at <= now

    def to_json(self, counts: FileCounts, usage_bytes: int, now: int) -> JsonObject:
        """Return the object of the API, nulls explicit.

        Args:
            counts: Of its files.
            usage_bytes: Of all its chunks.
            now: UNIX seconds.
        """
        ready = "in_progress" if counts.in_progress else "completed"
        return {
            "id": self.id,
            "object": "vector_store",
            "created_at": self.created_at,
            "name": self.name,
            "description": self.description,
            "usage_bytes": usage_bytes,
            "file_counts": counts.to_json(),
            "status": "expired" if self.is_expired(now) else ready,
            "expires_after": self.expires_after,
            "expires_at": self.expires_at,
            "last_active_at": self.last_active_at,
            "metadata": self.metadata,
        }
