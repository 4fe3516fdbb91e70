"""A thread: a conversation that runs add to."""

from __future__ import annotations

from dataclasses import dataclass, field

from microservices.assistants.objects.json_object import JsonObject, Metadata


@dataclass(frozen=True, slots=True)
class Thread:
    """One row of the threads; see https://platform.openai.com/docs/api-reference/threads/object."""

    id: str
    owner: str
    created_at: int
    tool_resources: JsonObject | None = None
    metadata: Metadata = field(default_factory=dict)

    def to_json(self) -> JsonObject:
        """Return the object of the API, nulls explicit."""
        return {
            "id": self.id,
            "object": "thread",
            "created_at": self.created_at,
            "tool_resources": self.tool_resources,
            "metadata": self.metadata,
        }
