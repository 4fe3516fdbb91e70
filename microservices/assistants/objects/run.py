"""A run: an assistant at work on a thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from microservices.assistants.objects.json_object import JsonObject, Metadata


class RunStatus(StrEnum):
    """Where a run stands; see runs/status.py for who may follow whom."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    REQUIRES_ACTION = "requires_action"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    FAILED = "failed"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    EXPIRED = "expired"


#: While a run of a thread is in one of these, the thread takes no other run and no message.
ACTIVE = frozenset({RunStatus.QUEUED, RunStatus.IN_PROGRESS, RunStatus.REQUIRES_ACTION, RunStatus.CANCELLING})


@dataclass(frozen=True, slots=True)
class Run:
    """One row of the runs; see https://platform.openai.com/docs/api-reference/runs/object."""

    id: str
    owner: str
    thread_id: str
    assistant_id: str
    created_at: int
    status: RunStatus
    model: str
    #: The system message: never null.
    instructions: str = ""
    tools: list[JsonObject] = field(default_factory=list)
    #: What the tools work on: the assistant's and the thread's together. Not shown.
    tool_resources: JsonObject | None = None
    metadata: Metadata = field(default_factory=dict)
    required_action: JsonObject | None = None
    last_error: JsonObject | None = None
    expires_at: int | None = None
    started_at: int | None = None
    cancelled_at: int | None = None
    failed_at: int | None = None
    completed_at: int | None = None
    usage: JsonObject | None = None
    incomplete_details: JsonObject | None = None
    max_prompt_tokens: int | None = None
    max_completion_tokens: int | None = None
    truncation_strategy: JsonObject = field(default_factory=lambda: {"type": "auto", "last_messages": None})
    tool_choice: JsonObject | str = "auto"
    parallel_tool_calls: bool = True
    response_format: JsonObject | str | None = "auto"
    temperature: float | None = None
    top_p: float | None = None
    reasoning_effort: str | None = None
    #: How often work on it was begun; bounded, so that a run that kills its process ends. Not shown.
    attempts: int = 0

    def to_json(self) -> JsonObject:
        """Return the object of the API, nulls explicit."""
        return {
            "id": self.id,
            "object": "thread.run",
            "created_at": self.created_at,
            "thread_id": self.thread_id,
            "assistant_id": self.assistant_id,
            "status": self.status,
            "required_action": self.required_action,
            "last_error": self.last_error,
            "expires_at": self.expires_at if self.status in ACTIVE else None,
            "started_at": self.started_at,
            "cancelled_at": self.cancelled_at,
            "failed_at": self.failed_at,
            "completed_at": self.completed_at,
            "model": self.model,
            "instructions": self.instructions,
            "tools": self.tools,
            "metadata": self.metadata,
            "usage": self.usage,
            "incomplete_details": self.incomplete_details,
            "max_prompt_tokens": self.max_prompt_tokens,
            "max_completion_tokens": self.max_completion_tokens,
            "truncation_strategy": self.truncation_strategy,
            "tool_choice": self.tool_choice,
            "parallel_tool_calls": self.parallel_tool_calls,
            "response_format": self.response_format,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "reasoning_effort": self.reasoning_effort,
        }
