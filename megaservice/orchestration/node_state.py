"""One node in one run: its status, what it put out, and those who wait for it."""

from __future__ import annotations

import asyncio
from typing import Any

from megaservice.nodes.base import NodeClient, NodeStream, Output
from megaservice.orchestration.feed import Feed
from megaservice.orchestration.readiness import SETTLED, NodeStatus
from megaservice.pipeline.spec import ConsumeMode
from servicekit.errors import ServiceError


class NodeState:
    """The state of one node.

    Args:
        name: The node's name.
        client: Speaks to it.
    """

    def __init__(self, name: str, client: NodeClient) -> None:
        self.name = name
        self.client = client
        self.status = NodeStatus.PENDING
        self.output: Output | None = None
        self.error: ServiceError | None = None
        self.stream: NodeStream | None = None
        self.feed: Feed | None = None
        self._published = asyncio.Event()
        self._settled = asyncio.Event()

    @property
    def consume(self) -> ConsumeMode:
        """How the node takes its upstream's stream."""
        return self.client.spec.consume

    @property
    def is_working(self) -> bool:
        """Whether it has been asked and has not ended."""
        return self.status in (NodeStatus.RUNNING, NodeStatus.STREAMING)

    def text(self) -> str | None:
        """Return the text of the output, None if there is none."""
        return None if self.output is None else self.client.text_of(self.output)

    def head(self) -> dict[str, Any]:
        """Return what identifies the answer that the node writes, as far as it is known: `id`, `created`, `model`."""
        output = self.output
        if output is None and self.stream is not None:
            output = self.stream.output()
        return {key: output[key] for key in ("id", "created", "model") if key in output} if output else {}

    def finish_reason(self) -> str | None:
        """Return why the node's text ended where it does; None if the output does not say."""
        output = self.output or {}
        choices = output.get("choices")
        said = choices[0].get("finish_reason") if choices else output.get("finish_reason")
        return said if isinstance(said, str) else None

    async def published(self) -> None:
        """Wait until the node streams, or has ended without."""
        await self._published.wait()

    async def settled(self) -> None:
        """Wait until the node has ended, one way or another."""
        await self._settled.wait()

    def publish(self, feed: Feed) -> None:
        """Let the readers of the stream begin."""
        self.feed = feed
        self.status = NodeStatus.STREAMING
        self._published.set()

    def succeed(self, output: Output) -> None:
        """End well."""
        self.output = output
        self._settle(NodeStatus.SUCCEEDED)

    def fail(self, error: ServiceError, output: Output | None) -> None:
        """End badly; `output` is what is attached in place of the node's own."""
        self.error = error
        self.output = output
        self._settle(NodeStatus.FAILED)

    def skip(self) -> None:
        """End without having been asked."""
        self._settle(NodeStatus.SKIPPED)

    def cancel(self) -> None:
        """End because nobody wants the stream any more; those behind it go on without."""
        if self.status not in SETTLED:
            self._settle(NodeStatus.CANCELLED)

    async def close(self) -> None:
        """Stop the stream; a node that has not ended was cancelled."""
        if self.feed is not None:
            await self.feed.close()
        if self.status not in SETTLED:
            self.status = NodeStatus.CANCELLED

    def _settle(self, status: NodeStatus) -> None:
        self.status = status
        self._published.set()
        self._settled.set()


def short_name(name: str) -> str:
    """Return the name that the user gave: `llm` of `llm/MicroService`."""
    return name.split("/", 1)[0]
