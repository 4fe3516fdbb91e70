"""Threads to be made or changed.

https://platform.openai.com/docs/api-reference/threads/createThread
"""

from __future__ import annotations

from typing import Any

from microservices.assistants.requests.body import RequestModel
from microservices.assistants.requests.common import Metadata, ToolResources
from microservices.assistants.requests.messages import CreateMessage
from microservices.assistants.runs.new_run import NewThread


class UpdateThread(RequestModel):
    """The body of `POST /threads/{thread_id}`: what is not named stays as it is, null clears."""

    metadata: Metadata | None = None
    tool_resources: ToolResources | None = None

    def changes(self) -> dict[str, Any]:
        """Return the new values of a thread's fields; tool resources as they were asked for."""
        changes: dict[str, Any] = {}
        if "metadata" in self.model_fields_set:
            changes["metadata"] = self.metadata or {}
        if "tool_resources" in self.model_fields_set:
            changes["tool_resources"] = self.resources()
        return changes

    def resources(self) -> dict[str, Any] | None:
        """Return the tool resources as they were asked for."""
        return self.tool_resources.to_json() if self.tool_resources is not None else None


class CreateThread(UpdateThread):
    """The body of `POST /threads`, which may be missing altogether."""

    messages: list[CreateMessage] | None = None

    def to_new(self) -> NewThread:
        """Return the thread that is wanted."""
        messages = [message.to_new() for message in self.messages or ()]
        return NewThread(messages, self.resources(), self.metadata or {})
