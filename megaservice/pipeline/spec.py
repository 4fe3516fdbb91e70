"""A pipeline as declared: what every dialect becomes, and all that the rest of the house reads.

Source of the fields: docs/pipelines.md. Unknown keys are refused.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from megaservice.pipeline.control import ControlRule
from megaservice.pipeline.header_names import HeaderName
from megaservice.pipeline.values import EndpointPath, FieldName, PipelineName, Url
from servicekit.variable_name import VariableName


class ServiceKind(StrEnum):
    """What a node is, in OPEA's words; decides which client speaks to it."""

    LLM = "llm"
    GRADER = "grader"
    TEXT = "text"
    #: Any other service that takes a JSON object and answers one: data for other nodes, no text of the answer.
    JSON = "json"
    #: Lets a text through, changes it or cuts it: by expressions of its own, or asking an OPEA guardrail service.
    GUARD = "guard"
    #: Picks the best of several outputs; runs in the gateway.
    SELECT = "select"


#: The kinds whose output is a text that can be the answer.
TEXT_PRODUCERS = frozenset({ServiceKind.LLM, ServiceKind.TEXT, ServiceKind.GUARD, ServiceKind.SELECT})
#: The kinds that can stream what they write.
STREAMING = frozenset({ServiceKind.LLM})
#: The kinds that can work on a text piece by piece.
PIECEWISE = frozenset({ServiceKind.TEXT, ServiceKind.GUARD})
#: The kinds that need no service: they can run in the gateway.
BUILT_IN = frozenset({ServiceKind.GUARD, ServiceKind.SELECT})
#: The input fields of each kind; a text node and a guard take whatever their service knows.
INPUT_FIELDS = {
    ServiceKind.LLM: ("text",),
    ServiceKind.GRADER: ("source", "candidate", "reference", "criteria"),
    ServiceKind.SELECT: ("candidates",),
}
#: The fields of each kind's output that can be attached; those of the others are their service's.
OUTPUT_FIELDS = {
    ServiceKind.GRADER: ("score", "feedback", "model", "usage", "ignored", "error"),
    ServiceKind.GUARD: ("text", "action", "error"),
    ServiceKind.SELECT: ("text", "best", "index", "candidates", "error"),
}
#: Keys that only some kinds of node understand; see `misplaced_keys`.
KEYS_OF_KINDS = {
    "prompt": frozenset({ServiceKind.LLM}),
    "model": frozenset({ServiceKind.LLM, ServiceKind.GRADER, ServiceKind.TEXT}),
    "best": frozenset({ServiceKind.SELECT}),
    "deny": frozenset({ServiceKind.GUARD}),
    "replace": frozenset({ServiceKind.GUARD}),
    "message": frozenset({ServiceKind.GUARD}),
    "endpoint": frozenset(ServiceKind) - {ServiceKind.SELECT},
    "replicas": frozenset(ServiceKind) - {ServiceKind.SELECT},
}


class ConsumeMode(StrEnum):
    """How a node takes the stream of the node before it."""

    #: Once, when the stream has ended.
    WHOLE = "whole"
    #: Sentence by sentence (OPEA's way, for text to speech or a guard).
    SENTENCE = "sentence"
    #: Each event as it comes.
    STREAM = "stream"


class Dependency(StrEnum):
    """What a node's failure means: the request's failure, or an error attached to the answer."""

    HARD = "hard"
    SOFT = "soft"


class History(StrEnum):
    """Which of the caller's messages an LLM node gets."""

    WHOLE = "whole"
    LAST_USER_MESSAGE = "last_user_message"


class SystemMessage(StrEnum):
    """What happens to the caller's own system message: it follows the prompt, or the prompt replaces it."""

    APPEND = "append"
    REPLACE = "replace"


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class PromptSpec(_Spec):
    """The prompt of an LLM node."""

    system: str | None = Field(
        None, description="The system message; a Jinja2 template over what `inputs` see, where it has `{{` or `{%`."
    )
    user: str | None = Field(
        None,
        description="The user message that the node gets: a Jinja2 template over `request`, the nodes before it by "
        "their names, and `previous` and `attempt` in a loop. A name that is not there is an error.",
    )
    caller_system: SystemMessage = Field(
        SystemMessage.APPEND, description="The caller's own system message: append it, or replace it."
    )
    history: History = Field(History.WHOLE, description="The caller's whole conversation, or its last user message.")


class AttachSpec(_Spec):
    """Where a node's output appears in the answer."""

    name: FieldName = Field(alias="as", description="The answer's field.")
    fields: tuple[str, ...] | None = Field(None, description="The fields of the output to attach; all if absent.")


class TimeoutSpec(_Spec):
    """Bounds of the waits for a node, in seconds."""

    connect_seconds: float = Field(5.0, gt=0)
    first_token_seconds: float = Field(120.0, gt=0)
    idle_seconds: float = Field(60.0, gt=0)
    total_seconds: float = Field(600.0, gt=0)


class RetrySpec(_Spec):
    """When a failed call is tried again: only errors that may pass, and never after the first token."""

    attempts: int = Field(1, ge=1, le=10, description="Tries in all; 1 is no retry.")
    base_seconds: float = Field(0.1, ge=0, description="The first pause; it doubles, with jitter.")
    max_seconds: float = Field(2.0, ge=0, description="The longest pause.")


class ConcurrencySpec(_Spec):
    """How many requests a node works on at the same time."""

    limit: int | None = Field(None, ge=1, description="Requests at the same time; unlimited if absent.")
    queue: int = Field(100, ge=0, description="Requests that may wait; more are answered 503.")
    queue_seconds: float = Field(30.0, gt=0, description="How long one may wait.")


class NodeSpec(_Spec):
    """One node: a microservice, and how this pipeline uses it."""

    service_type: ServiceKind = Field(description="What the node is.")
    endpoint: Url | None = Field(
        None, validate_default=True, description="The full URL that is called; nodes that run in the gateway have none."
    )
    replicas: tuple[Url, ...] = Field(
        (), description="Further URLs of the same service; calls go to the one with the fewest in work."
    )
    model: str | None = Field(None, description="Pins the model; else the request's model is asked for.")
    api_key_env: VariableName | None = Field(
        None,
        description="The variable that holds the key for this service; of several, comma-separated, the first is sent.",
    )
    prompt: PromptSpec = Field(default_factory=PromptSpec, description="The prompt of an LLM.")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Sent with every call; the request's own values win."
    )
    inputs: dict[str, str] = Field(
        default_factory=dict,
        description="The fields that the node gets: JMESPath over `request` and the upstream nodes' outputs.",
    )
    outputs: dict[str, str] = Field(
        default_factory=dict,
        description="What later nodes and `attach` see of the output: JMESPath over all of it; everything if absent.",
    )
    when: str | None = Field(
        None,
        description="JMESPath over `request` and the nodes before; where it does not hold, the node is skipped.",
    )
    headers: tuple[HeaderName, ...] = Field(
        (), description="The request headers that are passed on to the service; `authorization` only if it is named."
    )
    best: str | None = Field(
        None,
        description="For a `select`: JMESPath over `candidates` that finds the best of them; the first one if absent.",
    )
    deny: tuple[str, ...] = Field(
        (),
        validate_default=True,
        description="For a `guard`: regular expressions (RE2) that no sentence may match.",
    )
    replace: str | None = Field(
        None, description="For a `guard`: stands in place of what is denied; without it the answer is cut there."
    )
    message: str | None = Field(None, description="For a `guard`: ends an answer that was cut.")
    consume: ConsumeMode = Field(
        ConsumeMode.WHOLE, description="How the node takes the stream of the node before it: whole, sentence or stream."
    )
    attach: AttachSpec | None = Field(None, description="Where the output appears in the answer.")
    dependency: Dependency = Field(Dependency.HARD, description="hard: its failure fails the request.")
    fallback: str | None = Field(None, description="The node that is asked instead when this one fails.")
    timeouts: TimeoutSpec = Field(default_factory=TimeoutSpec, description="Bounds of the waits.")
    retries: RetrySpec = Field(default_factory=RetrySpec, description="When a failed call is tried again.")
    concurrency: ConcurrencySpec = Field(
        default_factory=ConcurrencySpec, description="How many requests at the same time."
    )

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Every URL of the service; none for a node that runs in the gateway."""
        return (*([self.endpoint] if self.endpoint else ()), *self.replicas)

    @property
    def url(self) -> str:
        """The URL of a node that has one."""
        assert self.endpoint is not None  # every client that calls a service is made for one  # noqa: S101
        return self.endpoint

    @field_validator("endpoint")
    @classmethod
    def _has_service(cls, endpoint: str | None, info: ValidationInfo) -> str | None:
        if endpoint is None and info.data.get("service_type", ServiceKind.SELECT) not in BUILT_IN:
            raise PydanticCustomError("missing", "Field required")
        return endpoint

    @field_validator("deny")
    @classmethod
    def _has_something_to_deny(cls, deny: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        is_guard = info.data.get("service_type") is ServiceKind.GUARD
        if is_guard and not deny and "endpoint" in info.data and info.data["endpoint"] is None:
            raise ValueError("a guard needs regular expressions to deny, or the 'endpoint' of a guardrail service.")
        return deny

    @field_validator("consume")
    @classmethod
    def _takes_sentences(cls, consume: ConsumeMode, info: ValidationInfo) -> ConsumeMode:
        if consume is ConsumeMode.STREAM and info.data.get("service_type") is ServiceKind.GUARD:
            raise ValueError("a guard cannot tell from a piece of a sentence; write 'sentence' or 'whole'.")
        return consume


def misplaced_keys(node: NodeSpec) -> list[str]:
    """Return the keys that were given to a node of a kind that has no use for them."""
    return [
        key for key, kinds in KEYS_OF_KINDS.items() if key in node.model_fields_set and node.service_type not in kinds
    ]


def output_fields(node: NodeSpec) -> tuple[str, ...] | None:
    """Return the fields that later nodes and `attach` see of a node's output; None if only its service knows."""
    return (*node.outputs, "error") if node.outputs else OUTPUT_FIELDS.get(node.service_type)


class PipelineHead(_Spec):
    """What a pipeline is called and where it is."""

    name: PipelineName = Field(description="Names the pipeline, such as `chat`.")
    description: str = Field("", description="One sentence about what it does.")
    endpoints: tuple[EndpointPath, ...] = Field(min_length=1, description="The gateway's paths that run this pipeline.")


class PipelineSpec(PipelineHead):
    """A whole pipeline.

    Every edge of its graph is in `edges` or follows from a rule of `control`; see `control_edges`.
    """

    nodes: dict[str, NodeSpec] = Field(min_length=1)
    edges: tuple[tuple[str, str], ...] = ()
    control: tuple[ControlRule, ...] = ()
