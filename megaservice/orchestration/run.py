"""One execution of a YAML pipeline: a graph run with one answer, and what is attached to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from megaservice.nodes.base import NodeClient, NodeStream, Output, StreamPart
from megaservice.orchestration.answer import answering_node, final_event
from megaservice.orchestration.graph_run import GraphRun, first_part
from megaservice.orchestration.node_state import NodeState
from megaservice.orchestration.observer import RunObserver
from megaservice.orchestration.readiness import NodeStatus
from megaservice.pipeline.pipeline import Pipeline
from servicekit.context import CallContext
from servicekit.errors import UpstreamBadResponseError
from servicekit.sse import DONE_EVENT


class PipelineRun(GraphRun):
    """Runs one request through a pipeline, once: either `finish`, or `start_stream` and then `events`.

    Args:
        pipeline: What to run.
        clients: A client for each node.
        request: The caller's body, checked; `messages` is a list.
        context: Request id and deadline.
        observer: Is told when tokens come and when the run ends.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        clients: Mapping[str, NodeClient],
        request: Mapping[str, Any],
        context: CallContext,
        observer: RunObserver,
    ) -> None:
        super().__init__(pipeline.dag, clients, request, context, observer, (pipeline.answer_node,))
        self._pipeline = pipeline

    async def finish(self) -> dict[str, Output]:
        """Run every node and return the outputs by node, in topological order; closes the run.

        Raises:
            ServiceError: A hard node failed; the others were cancelled.
        """
        try:
            self._start()
            await self._unless_failed(self._settled(self._dag.order))
            return self.outputs
        finally:
            await self.close()

    async def start_stream(self) -> tuple[NodeStream | None, StreamPart]:
        """Start the nodes and wait for the first part of the answer; closes the run if that fails.

        Returns:
            The answer's stream, and its first part for `events`.

        Raises:
            ServiceError: The answer node, or a hard node before it, failed.
        """
        try:
            self._streams_answer = True
            self._start()
            node = self._nodes[self._pipeline.answer_node]
            await self._unless_failed(node.published())
            if node.status is NodeStatus.SKIPPED:  # pruned: the text of the node that pruned it is the answer
                node = self._nodes[answering_node(self._pipeline, self.outputs)]
            reader = self._readers[self._pipeline.answer_node] = self._reader(node)
            return node.stream, await self._unless_failed(first_part(reader, node.name))
        except BaseException:
            await self.close()
            raise

    async def events(self, first: StreamPart) -> AsyncGenerator[bytes]:
        """Yield the answer's events, then the attached outputs in one last event, then `[DONE]`.

        Closing the generator cancels the run.

        Args:
            first: What `start_stream` returned.

        Raises:
            ServiceError: A hard node failed after the stream had begun.
        """
        answer = self._pipeline.answer_node
        try:
            self._observer.token()
            yield first.encoded
            while (part := await self._next_part(answer)) is not None:
                self._observer.token()
                yield part.encoded
            await self._unless_failed(self._settled(self._dag.order))
            last = final_event(self._pipeline, self._request, self.outputs)
            if last is not None:
                yield last
            yield DONE_EVENT
        finally:
            await self.close()

    def _skip(self, node: NodeState) -> None:
        super()._skip(node)
        if node.name != self._pipeline.answer_node or self._has_substitute():
            return
        error = UpstreamBadResponseError(f"Node '{node.name}' was skipped because no node before it succeeded.")
        self._end_by(error)

    def _has_substitute(self) -> bool:
        """Whether a node before the answer pruned the way to it, and has a text in its place."""
        pruners = {name for names in self._pruned.values() for name in names}
        return any(self._nodes[name].text() is not None for name in pruners)
