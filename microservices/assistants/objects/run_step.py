"""A run step: one message made, or one round of tool calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from microservices.assistants.objects.json_object import JsonObject, Metadata

StepType = Literal["message_creation", "tool_calls"]
StepStatus = Literal["in_progress", "cancelled", "failed", "completed", "expired"]


@dataclass(frozen=True, slots=True)
class RunStep:
    """One row of the run steps; see https://platform.openai.com/docs/api-reference/run-steps/step-object."""

    id: str
    run_id: str
    thread_id: str
    assistant_id: str
    created_at: int
    type: StepType
    step_details: JsonObject
    status: StepStatus = "in_progress"
    last_error: JsonObject | None = None
    expired_at: int | None = None
    cancelled_at: int | None = None
    failed_at: int | None = None
    completed_at: int | None = None
    metadata: Metadata = field(default_factory=dict)
    usage: JsonObject | None = None

    def to_json(self) -> JsonObject:
        """Return the object of the API, nulls explicit."""
        return {
            "id": self.id,
            "object": "thread.run.step",
            "created_at": self.created_at,
            "run_id": self.run_id,
            "assistant_id": self.assistant_id,
            "thread_id": self.thread_id,
            "type": self.type,
            "status": self.status,
            "step_details": self.step_details,
            "last_error": self.last_error,
            "expired_at": self.expired_at,
            "cancelled_at": self.cancelled_at,
            "failed_at": self.failed_at,
            "completed_at": self.completed_at,
            "metadata": self.metadata,
            "usage": self.usage,
        }
