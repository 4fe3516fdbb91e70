"""A message of a thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from microservices.assistants.objects.json_object import JsonObject, Metadata

MessageStatus = Literal["in_progress", "completed", "incomplete"]
Role = Literal["user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One row of the messages; see https://platform.openai.com/docs/api-reference/messages/object."""

    id: str
    thread_id: str
    created_at: int
    role: Role
    #: Blocks: `text` with value and annotations, `image_url`, `image_file`.
    content: list[JsonObject]
    status: MessageStatus = "completed"
    incomplete_details: JsonObject | None = None
    completed_at: int | None = None
    incomplete_at: int | None = None
    assistant_id: str | None = None
    run_id: str | None = None
    attachments: list[JsonObject] = field(default_factory=list)
    metadata: Metadata = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The text blocks, one after the other."""
        return "\n".join(block["text"]["value"] for block in self.content if block["type"] == "text")

    def to_json(self) -> JsonObject:
        """Return the object of the API, nulls explicit."""
        return {
            "id": self.id,
            "object": "thread.message",
            "created_at": self.created_at,
            "thread_id": self.thread_id,
            "status": self.status,
            "incomplete_details": self.incomplete_details,
            "completed_at": self.completed_at,
            "incomplete_at": self.incomplete_at,
            "role": self.role,
            "content": self.content,
            "assistant_id": self.assistant_id,
            "run_id": self.run_id,
            "attachments": self.attachments,
            "metadata": self.metadata,
        }


def text_block(value: str, annotations: list[JsonObject] | None = None) -> JsonObject:
    """Return a message's text block."""
    return {"type": "text", "text": {"value": value, "annotations": annotations or []}}
