"""Runs to be made, and what their tools gave.

https://platform.openai.com/docs/api-reference/runs/createRun
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

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
)
from microservices.assistants.requests.messages import CreateMessage
from microservices.assistants.requests.threads import CreateThread
from microservices.assistants.requests.tools import ResponseFormat, ToolChoice, Tools, tools_json, word_or_json
from microservices.assistants.runs.new_run import NewRun, NewThread, ToolOutput

#: Counts are kept in 32 bits.
_MAX_COUNT = 2**31 - 1
#: OpenAI asked for 256 at least; a small model of one's own may well be asked for less.
TokenCount = Annotated[int, Field(ge=1, le=_MAX_COUNT)]

#: Fields that are handed on as they came.
_PLAIN = (
    "assistant_id",
    "model",
    "instructions",
    "temperature",
    "top_p",
    "max_prompt_tokens",
    "max_completion_tokens",
    "reasoning_effort",
)


class TruncationStrategy(RequestModel):
    """How much of the thread the model sees."""

    type: Literal["auto", "last_messages"]
    last_messages: TokenCount | None = None

    @model_validator(mode="after")
    def _check_number(self) -> TruncationStrategy:
        if self.type == "last_messages" and self.last_messages is None:
            raise PydanticCustomError("last_messages", "with the type 'last_messages' their number is required, too")
        return self


class _RunParameters(RequestModel):
    assistant_id: ObjectId
    model: ModelName | None = None
    instructions: Instructions | None = None
    tools: Tools | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    metadata: Metadata | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    max_prompt_tokens: TokenCount | None = None
    max_completion_tokens: TokenCount | None = None
    truncation_strategy: TruncationStrategy | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: ReasoningEffort | None = None
    stream: bool | None = None

    def _values(self) -> dict[str, Any]:
        strategy = self.truncation_strategy
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "tools": None if self.tools is None else tools_json(self.tools),
            "metadata": self.metadata or {},
            "truncation_strategy": None if strategy is None else strategy.model_dump(),
            "tool_choice": word_or_json(self.tool_choice),
            "response_format": word_or_json(self.response_format),
            "parallel_tool_calls": self.parallel_tool_calls is not False,
        }


class CreateRun(_RunParameters):
    """The body of `POST /threads/{thread_id}/runs`."""

    additional_instructions: Instructions | None = None
    additional_messages: list[CreateMessage] | None = None

    def to_new(self) -> NewRun:
        """Return the run that is wanted."""
        messages = [message.to_new() for message in self.additional_messages or ()]
        instructions = self.additional_instructions
        return NewRun(**self._values(), additional_instructions=instructions, additional_messages=messages)


class CreateThreadAndRun(_RunParameters):
    """The body of `POST /threads/runs`."""

    thread: CreateThread | None = None
    tool_resources: ToolResources | None = None

    def to_new(self) -> NewRun:
        """Return the run that is wanted."""
        resources = self.tool_resources
        return NewRun(**self._values(), tool_resources=None if resources is None else resources.to_json())

    def new_thread(self) -> NewThread:
        """Return the thread that is wanted for it."""
        return (self.thread or CreateThread()).to_new()


class Output(RequestModel):
    """What one function gave."""

    tool_call_id: ObjectId
    output: str | None = None


class SubmitToolOutputs(RequestModel):
    """The body of `POST /threads/{thread_id}/runs/{run_id}/submit_tool_outputs`."""

    tool_outputs: Annotated[list[Output], Field(min_length=1)]
    stream: bool | None = None

    def to_outputs(self) -> list[ToolOutput]:
        """Return the outputs."""
        return [ToolOutput(item.tool_call_id, item.output or "") for item in self.tool_outputs]
