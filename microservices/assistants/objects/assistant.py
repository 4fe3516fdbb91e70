"""An assistant: a model or pipeline with instructions and tools."""

from __future__ import annotations

from dataclasses import dataclass, field

from microservices.assistants.objects.json_object import JsonObject, Metadata


@dataclass(frozen=True, slots=True)
class Assistant:
    """One row of the assistants; times are UNIX seconds.

    The fields are those of https://platform.openai.com/docs/api-reference/assistants/object
    """

    id: str
    #: Whose key made it; "" where no keys are asked for. Never shown.
    owner: str
    created_at: int
    model: str
    name: str | None = None
    description: str | None = None
    instructions: str | None = None
    tools: list[JsonObject] = field(default_factory=list)
    tool_resources: JsonObject | None = None
    metadata: Metadata = field(default_factory=dict)
    temperature: float | None = None
    top_p: float | None = None
    response_format: JsonObject | str | None = None
    reasoning_effort: str | None = None

    def to_json(self) -> JsonObject:
        """Return the object of the API, nulls explicit."""
        return {
            "id": self.id,
            "object": "assistant",
            "created_at": self.created_at,
            "name": self.name,
            "description": self.description,
            "model": self.model,
            "instructions": self.instructions,
            "tools": self.tools,
            "tool_resources": self.tool_resources,
            "metadata": self.metadata,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "response_format": self.response_format,
            "reasoning_effort": self.reasoning_effort,
        }
