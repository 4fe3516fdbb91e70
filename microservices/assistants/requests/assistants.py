"""Assistants to be made or changed.

https://platform.openai.com/docs/api-reference/assistants/createAssistant
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from microservices.assistants.objects.assistant import Assistant
from microservices.assistants.requests.body import RequestModel
from microservices.assistants.requests.common import (
    Instructions,
    Metadata,
    ModelName,
    ObjectId,
    ReasoningEffort,
    Temperature,
    ToolResources,
    TopP,
    with_files,
)
from microservices.assistants.requests.tools import ResponseFormat, Tools, tools_json, word_or_json

#: Fields that are kept as they came.
_PLAIN = ("name", "description", "instructions", "temperature", "top_p", "reasoning_effort")


class UpdateAssistant(RequestModel):
    """The body of `POST /assistants/{assistant_id}`: what is not named stays as it is, null clears."""

    model: ModelName | None = None
    name: Annotated[str, Field(max_length=256)] | None = None
    description: Annotated[str, Field(max_length=512)] | None = None
    instructions: Instructions | None = None
    tools: Tools | None = None
    tool_resources: ToolResources | None = None
    metadata: Metadata | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: ReasoningEffort | None = None
    #: What the API's first version had in the place of tool_resources.
    file_ids: Annotated[list[ObjectId], Field(max_length=20)] | None = None

    def changes(self) -> dict[str, Any]:
        """Return the new values of an assistant's fields; tool resources as they were asked for."""
        changes = self.given(*_PLAIN)
        named = self.model_fields_set
        if self.model is not None:
            changes["model"] = self.model
        if "metadata" in named:
            changes["metadata"] = self.metadata or {}
        if "tools" in named:
            changes["tools"] = tools_json(self.tools)
        if "response_format" in named:
            changes["response_format"] = word_or_json(self.response_format) or "auto"
        if "tool_resources" in named or self.file_ids:
            changes["tool_resources"] = with_files(self.tool_resources, self.file_ids)
        return changes


class CreateAssistant(UpdateAssistant):
    """The body of `POST /assistants`."""

    model: ModelName

    def to_assistant(self, assistant_id: str, owner: str, created_at: int) -> Assistant:
        """Return the assistant that is wanted."""
        values = {"response_format": "auto", **self.changes()}
        return Assistant(id=assistant_id, owner=owner, created_at=created_at, **values)
