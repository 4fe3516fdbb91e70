"""What each node of one run is doing: its state, since when, and how many tokens it wrote.

The clients of the nodes are wrapped, so that a run in the gateway, which nobody watches, pays nothing for this.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from megaservice.nodes.base import NodeCall, NodeClient, NodeStream, Output, StreamPart
from megaservice.orchestration.readiness import NodeStatus
from megaservice.pipeline.spec import ConsumeMode
from servicekit.errors import ServiceError


@dataclass(slots=True)
class NodeProgress:
    """One node in one run.

    Attributes:
        name: The node's name.
        state: What it is doing, or how it ended.
        seconds: How long it has worked so far, pauses between calls included.
        tokens: What it wrote: as its service counted them, else the parts of its stream.
        calls: How often it was asked: once for each attempt of a loop, or each sentence.
    """

    name: str
    state: NodeStatus = NodeStatus.PENDING
    tokens: int = 0
    calls: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    counted_tokens: int = 0

    @property
    def seconds(self) -> float:
        """How long it has worked."""
        if self.started_at is None:
            return 0.0
        return (self.ended_at or time.monotonic()) - self.started_at

    def as_dict(self) -> dict[str, object]:
        """Return what `--json` shows."""
        shown = {"name": self.name, "state": str(self.state), "seconds": round(self.seconds, 3)}
        return {**shown, "tokens": self.tokens, "calls": self.calls}


class Display(Protocol):
    """Is told what happens in a run."""

    def text(self, delta: str) -> None:
        """Show more of the answer."""

    def changed(self, node: NodeProgress) -> None:
        """Show that a node's state changed."""

    def tick(self) -> None:
        """Show how time goes by; called several times a second."""

    def finish(self) -> None:
        """Leave what is shown as it is, the cursor below it."""


class RunWatch:
    """The progress of every node; told by the clients, and by the run when it ends.

    Args:
        names: The nodes, in the order of the graph.

    Attributes:
        nodes: Their progress, by name.
        display: Is told whenever a node's state changed.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.nodes = {name: NodeProgress(name) for name in names}
        self.display: Display | None = None

    def watched(self, clients: Mapping[str, NodeClient]) -> dict[str, NodeClient]:
        """Return clients that tell this watch what they do."""
        return {name: WatchedClient(name, client, self) for name, client in clients.items()}

    def started(self) -> None:
        """Take note of nothing: a run begins with its first node."""

    def token(self, answer: str = "") -> None:
        """Take note of nothing: the nodes count for themselves."""

    def ended(self, statuses: Mapping[str, NodeStatus]) -> None:
        """Take over how each node ended: some were skipped, some were cancelled."""
        for name, status in statuses.items():
            if name in self.nodes and self.nodes[name].state != status:
                self.set(name, status)

    def set(self, name: str, state: NodeStatus) -> None:
        """Change a node's state."""
        node = self.nodes[name]
        node.state = state
        now = time.monotonic()
        if state in (NodeStatus.RUNNING, NodeStatus.STREAMING):
            node.started_at = node.started_at or now
            node.ended_at = None
        else:
            node.ended_at = now
        if self.display is not None:
            self.display.changed(node)

    def began(self, name: str) -> None:
        """Count a call."""
        node = self.nodes[name]
        node.calls += 1
        if node.state is not NodeStatus.RUNNING:
            self.set(name, NodeStatus.RUNNING)

    def part(self, name: str) -> None:
        """Count a part of a stream; it stands for a token until the service's own count is there."""
        node = self.nodes[name]
        node.tokens += 1
        if node.state is not NodeStatus.STREAMING:
            self.set(name, NodeStatus.STREAMING)

    def answered(self, name: str, output: Output, *, is_piece: bool = False) -> None:
        """Note that a call ended well; after a piece of a text the node works on until the run says otherwise."""
        node = self.nodes[name]
        usage = output.get("usage")
        counted = usage.get("completion_tokens") if isinstance(usage, Mapping) else None
        node.counted_tokens = node.tokens = node.counted_tokens + counted if counted else node.tokens
        if not is_piece:
            self.set(name, NodeStatus.SUCCEEDED)


class WatchedClient:
    """A node's client that tells a watch what it does; see `NodeClient`."""

    def __init__(self, name: str, client: NodeClient, watch: RunWatch) -> None:
        self.spec = client.spec
        self._name = name
        self._client = client
        self._watch = watch

    async def call(self, call: NodeCall) -> Output:
        """Ask for the whole output."""
        self._watch.began(self._name)
        try:
            output = await self._client.call(call)
        except ServiceError:
            self._watch.set(self._name, NodeStatus.FAILED)
            raise
        self._watch.answered(self._name, output, is_piece=self.spec.consume is not ConsumeMode.WHOLE)
        return output

    def open_stream(self, call: NodeCall) -> NodeStream | None:
        """Return a stream that is counted."""
        stream = self._client.open_stream(call)
        return None if stream is None else _WatchedStream(self._name, stream, self._watch)

    def text_of(self, output: Output) -> str | None:
        """Return the text in an output."""
        return self._client.text_of(output)

    def failure_output(self, error: ServiceError) -> Output:
        """Return what is attached when this node is soft and failed."""
        return self._client.failure_output(error)


class _WatchedStream:
    def __init__(self, name: str, stream: NodeStream, watch: RunWatch) -> None:
        self._name = name
        self._stream = stream
        self._watch = watch

    async def parts(self) -> AsyncGenerator[StreamPart]:
        self._watch.began(self._name)
        try:
            async with aclosing(self._stream.parts()) as parts:
                async for part in parts:
                    if part.text:
                        self._watch.part(self._name)
                    yield part
        except ServiceError:
            self._watch.set(self._name, NodeStatus.FAILED)
            raise
        self._watch.answered(self._name, self._stream.output())

    def headers(self) -> Mapping[str, str]:
        return self._stream.headers()

    def output(self) -> Output:
        return self._stream.output()
