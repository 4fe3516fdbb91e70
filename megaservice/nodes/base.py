"""What the orchestrator asks of a node's client, and what it tells it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from megaservice.pipeline.spec import NodeSpec, TimeoutSpec
from servicekit.context import CallContext
from servicekit.errors import ServiceError, UpstreamTimeoutError
from servicekit.http.client import Timeouts
from servicekit.openai.chat import last_user_text

#: A node's whole output, decoded JSON.
Output = dict[str, Any]


class NodeCall(NamedTuple):
    """One node's part in one run.

    Attributes:
        request: The caller's body; `messages` is a list.
        outputs: The outputs of every succeeded node upstream, by name, nearest last.
        texts: The texts of those that produce one, in the same order.
        is_answer: Whether this node writes the answer, and so gets the request's sampling parameters.
        context: Request id, deadline, and the request's headers.
        loop: In a loop, `attempt`, and `previous`: the outputs of the attempt before.
    """

    request: Mapping[str, Any]
    outputs: Mapping[str, Output] = MappingProxyType({})
    texts: Mapping[str, str] = MappingProxyType({})
    is_answer: bool = False
    context: CallContext = CallContext("-")
    loop: Mapping[str, Any] = MappingProxyType({})

    @property
    def nearest_text(self) -> str | None:
        """The text of the nearest text-producing node upstream, None if there is none."""
        return list(self.texts.values())[-1] if self.texts else None

    def scope(self) -> dict[str, Any]:
        """Return what a node's expressions and templates see: `request`, each upstream node by its name, the loop."""
        request = {**self.request, "text": last_user_text(self.request.get("messages", []))}
        nodes = {name: {**output, "text": self.texts.get(name)} for name, output in self.outputs.items()}
        return {"request": request, **nodes, **self.loop}


class StreamPart(NamedTuple):
    """What one read of a node's stream brought.

    Attributes:
        encoded: Whole SSE events, ready for the client; never `[DONE]`.
        text: The text that they add to the answer.
    """

    encoded: bytes
    text: str


class NodeStream(Protocol):
    """A node's streamed output. Iterate it to its end, then read `output`; or close it.

    It may have `relay_to(sink, taken)`: offers to a sink the encoded events that add text and nothing else, at the
    moment they arrive, while a reader waits for the next part; `taken` is called for each read that the sink took.
    What the sink leaves, by returning False, and all else are still parts; so the order stays, and `output` has all.
    """

    def parts(self) -> AsyncGenerator[StreamPart]:
        """Yield the stream; the first item comes with the first event, errors before it have no item."""

    def headers(self) -> Mapping[str, str]:
        """Return headers for the answer; known after the first part."""

    def output(self) -> Output:
        """Return the whole output, as the node's JSON answer would have been; after the last part."""


class NodeClient(Protocol):
    """Speaks to one node."""

    spec: NodeSpec

    async def call(self, call: NodeCall) -> Output:
        """Ask for the whole output.

        Raises:
            ServiceError: Naming the node, its endpoint and what to do.
        """

    def open_stream(self, call: NodeCall) -> NodeStream | None:
        """Return a stream that asks when it is iterated, or None if this kind of node has none."""

    def text_of(self, output: Output) -> str | None:
        """Return the text in an output, None for nodes that produce none."""

    def failure_output(self, error: ServiceError) -> Output:
        """Return what is attached to the answer when this node is soft and failed."""


def call_headers(own: Mapping[str, str], spec: NodeSpec, context: CallContext) -> dict[str, str]:
    """Return the headers of a call: those of the caller that the node names, the node's own, the context's."""
    if not own and not spec.headers:
        return context.headers()
    return {**context.passed_on(spec.headers), **own, **context.headers()}


def bounded(spec: TimeoutSpec, context: CallContext) -> Timeouts:
    """Return the time-outs of a call: the node's own, cut to what the request has left.

    Raises:
        UpstreamTimeoutError: Nothing is left.
    """
    remaining = context.remaining_seconds()
    if remaining is not None and remaining <= 0:
        raise UpstreamTimeoutError("The request's deadline passed before this node was asked.")
    total = spec.total_seconds if remaining is None else min(spec.total_seconds, remaining)
    return Timeouts(spec.connect_seconds, spec.first_token_seconds, spec.idle_seconds, total)
