"""What a caller asks for: messages and runs that are not there yet, already validated."""

from __future__ import annotations

from dataclasses import dataclass, field

from microservices.assistants.objects.json_object import JsonObject, Metadata
from microservices.assistants.objects.message import Role


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be added to a thread; `content` holds blocks, a plain text became one."""

    role: Role
    content: list[JsonObject]
    attachments: list[JsonObject] = field(default_factory=list)
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewThread:
    """A thread to be made, with its first messages."""

    messages: list[NewMessage] = field(default_factory=list)
    tool_resources: JsonObject | None = None
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to be made; what is None comes from the assistant."""

    assistant_id: str
    model: str | None = None
    instructions: str | None = None
    additional_instructions: str | None = None
    additional_messages: list[NewMessage] = field(default_factory=list)
    tools: list[JsonObject] | None = None
    tool_resources: JsonObject | None = None
    metadata: Metadata = field(default_factory=dict)
    temperature: float | None = None
    top_p: float | None = None
    max_prompt_tokens: int | None = None
    max_completion_tokens: int | None = None
    truncation_strategy: JsonObject | None = None
    tool_choice: JsonObject | str | None = None
    parallel_tool_calls: bool = True
    response_format: JsonObject | str | None = None
    reasoning_effort: str | None = None


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What a caller's function gave."""

    tool_call_id: str
    output: str
