"""A file of a vector store, and several that were added together."""

from __future__ import annotations

from dataclasses import dataclass, field

from microservices.assistants.objects.json_object import JsonObject
from microservices.assistants.objects.vector_store import FileCounts, IndexStatus


@dataclass(frozen=True, slots=True)
class VectorStoreFile:
    """One row of the files of vector stores; see https://platform.openai.com/docs/api-reference/vector-stores-files.

    Attributes:
        id: The file's.
        batch_id: With which it was added, or None. Not shown.
        chunking_strategy: Always `static`: what `auto` stood for when the file was added.
        attributes: Strings, numbers and booleans that a search can filter by.
        claimed_until: Until when a process works on it, UNIX seconds; then another one may. Not shown.
        attempts: How often work on it was begun; bounded, so that a file that kills its process ends. Not shown.
    """

    id: str
    vector_store_id: str
    created_at: int
    chunking_strategy: JsonObject
    status: IndexStatus = "in_progress"
    last_error: JsonObject | None = None
    usage_bytes: int = 0
    attributes: JsonObject = field(default_factory=dict)
    batch_id: str | None = None
    claimed_until: int = 0
    attempts: int = 0

    def to_json(self) -> JsonObject:
        """Return the object of the API, nulls explicit."""
        return {
            "id": self.id,
            "object": "vector_store.file",
            "usage_bytes": self.usage_bytes,
            "created_at": self.created_at,
            "vector_store_id": self.vector_store_id,
            "status": self.status,
            "last_error": self.last_error,
            "chunking_strategy": self.chunking_strategy,
            "attributes": self.attributes,
        }


@dataclass(frozen=True, slots=True)
class FileBatch:
    """One row of the file batches; see https://platform.openai.com/docs/api-reference/vector-stores-file-batches."""

    id: str
    vector_store_id: str
    created_at: int
    is_cancelled: bool = False

    def to_json(self, counts: FileCounts) -> JsonObject:
        """Return the object of the API.

        Args:
            counts: Of its files.
        """
        return {
            "id": self.id,
            "object": "vector_store.files_batch",
            "created_at": self.created_at,
            "vector_store_id": self.vector_store_id,
            "status": self._status(counts),
            "file_counts": counts.to_json(),
        }

    def _status(self, counts: FileCounts) -> str:
        if self.is_cancelled:
            return "cancelled"
        return "in_progress" if counts.in_progress else "completed"
