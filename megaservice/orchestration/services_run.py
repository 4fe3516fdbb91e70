"""One execution of hand-registered services: several answers may stream, and hooks may change the graph as it runs."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Collection
from typing import Any

import orjson
from comps.cores.mega.dag import DAG as RuntimeGraph

from megaservice.nodes.base import NodeCall, StreamPart
from megaservice.orchestration.graph_run import GraphRun, first_part
from megaservice.orchestration.node_state import NodeState, short_name
from megaservice.orchestration.observer import RunObserver
from megaservice.orchestration.readiness import NodeStatus
from megaservice.orchestration.service_calls import ServiceStream
from megaservice.orchestration.service_graph import result_graph
from megaservice.orchestration.service_node import ScheduleCall, ServiceNode
from megaservice.orchestration.text_chunks import TokenChunks
from servicekit.context import CallContext
from servicekit.sse import encode_event

_HEAD_FIELDS = ("id", "created", "model")


class ServicesRun(GraphRun):
    """Runs one call of `schedule`, once: `start`, then `results`, then each answer's `events` and `attachment`.

    Args:
        call: The call.
        context: Request id and deadline.
        observer: Is told when tokens come and when the run ends.
    """

    #: Callers may read one answer to its end before they begin with another; so much of that one waits.
    feed_bound = 4096

    def __init__(self, call: ScheduleCall, context: CallContext, observer: RunObserver) -> None:
        clients = {name: ServiceNode(name, call) for name in call.plan.dag.nodes}
        super().__init__(call.plan.dag, clients, call.request(), context, observer, call.plan.answers)
        self._call = call
        self._plan = call.plan
        self._streams_answer = bool(call.plan.answers)
        self._open = set(call.plan.answers)
        self._attached = {answer: list(names) for answer, names in call.plan.attached.items()}

    async def start(self) -> dict[str, StreamPart]:
        """Run every node that need not wait for a reader, and wait for the first part of each answer.

        Returns:
            The first parts, by answer; answers that were skipped have none.

        Raises:
            ServiceError: A node failed; the run is closed.
        """
        try:
            self._start()
            firsts = await self._unless_failed(self._begun())
        except BaseException:
            await self.close()
            raise
        for answer in self._plan.answers:
            if answer not in firsts:
                await self.leave(answer)
        if not self._open:
            await self.close()
        return firsts

    def results(self) -> dict[str, Any]:
        """Return the output of each node that has ended before the answers are read, in topological order."""
        early = (self._nodes[name] for name in self._plan.early)
        return {node.name: node.output for node in early if node.status is NodeStatus.SUCCEEDED}

    def result_graph(self) -> RuntimeGraph:
        """Return the graph that ran; nodes whose outputs are attached to a stream, or were pruned, are not in it."""
        return result_graph(self._call.graph, self._dag.roots, self._plan.late - set(self._plan.answers))

    def was_pruned_away(self, name: str) -> bool:
        """Whether a node had others behind it, and all of them were pruned."""
        return bool(self._dag.downstreams(name)) and not self._call.graph.graph.get(name)

    async def events(self, answer: str, first: StreamPart) -> AsyncGenerator[bytes]:
        """Yield an answer's events, without what is attached and `[DONE]`.

        Args:
            answer: The node.
            first: What `start` returned for it.

        Raises:
            ServiceError: A node failed after the stream had begun.
        """
        self._observer.token(answer)
        yield first.encoded
        while (part := await self._next_part(answer)) is not None:
            self._observer.token(answer)
            yield part.encoded

    async def attachment(self, answer: str) -> bytes | None:
        """Wait for the leaves behind an answer whose events were all read, and return their outputs as one event.

        Raises:
            ServiceError: One of them failed.
        """
        names = self._attached[answer]
        await self._unless_failed(self._settled((answer, *names)))
        self._attached[answer] = []
        ended = [self._nodes[name] for name in names if self._nodes[name].status is NodeStatus.SUCCEEDED]
        if not ended:
            return None
        fields = {short_name(node.name): node.output for node in ended}
        chunk = {**self._head(answer), "object": "chat.completion.chunk", "choices": [], **fields}
        return encode_event(orjson.dumps(chunk, default=_attachable))

    async def leave(self, answer: str) -> None:
        """Note that an answer is read no more; with the last one the run is closed. Safe to call twice."""
        if answer in self._readers:
            await self._readers[answer].aclose()
        self._nodes[answer].cancel()
        self._open.discard(answer)
        self._pass_on_attached(answer)
        if not self._open:
            await self.close()

    def _pass_on_attached(self, answer: str) -> None:
        """Let what an answer would have carried travel with another one that leads to it and is still read."""
        for name in self._attached[answer]:
            others = [other for other in self._plan.answers if other in self._open & self._dag.ancestors(name)]
            if others:
                self._attached[others[-1]].append(name)
        self._attached[answer] = []

    async def _begun(self) -> dict[str, StreamPart]:
        await self._settled(self._plan.early)
        begun = []
        for name in self._plan.answers:
            await self._nodes[name].published()
            if self._nodes[name].status is not NodeStatus.SKIPPED:
                begun.append(name)
                self._readers[name] = self._reader(self._nodes[name])
        waiting = [first_part(self._readers[name], short_name(name)) for name in begun]
        # All of them, so that none is still being read when the run is closed; a failure cancels the others.
        firsts = await asyncio.gather(*waiting, return_exceptions=True)
        return {name: _raised(first) for name, first in zip(begun, firsts, strict=True)}

    async def _upstreams_done(self, node: NodeState, source: NodeState | None) -> None:
        await super()._upstreams_done(node, source)
        if source is None:  # a hook may have led new edges here
            await self._settled([name for name in self._upstreams(node) if name in self._nodes])

    def _may_run(self, node: NodeState) -> bool:
        if not self._dag.upstreams(node.name):
            return True
        live = (NodeStatus.SUCCEEDED, NodeStatus.STREAMING)
        return any(self._nodes[name].status in live for name in self._upstreams(node))

    def _upstreams(self, node: NodeState) -> list[str]:
        """Return who leads to a node in the run's own graph, which pruning and hooks have changed."""
        graph = self._call.graph
        found: list[str] = graph.predecessors(node.name) if node.name in graph.graph else []
        return found

    def _prune(self, node: NodeState, targets: Collection[str]) -> None:
        for target in targets:
            if target in self._call.graph.graph.get(node.name, ()):
                self._call.graph.delete_edge(node.name, target)

    def _reader_count(self, node: NodeState) -> int:
        return 0 if node.name in self._plan.held else super()._reader_count(node)

    def _writer(self, _source: NodeState) -> TokenChunks:
        return TokenChunks()

    def _call_of(self, node: NodeState) -> NodeCall:
        call = super()._call_of(node)
        # Any value is an output here, None too.
        done = [other for other in self._nodes.values() if other.status is NodeStatus.SUCCEEDED]
        outputs: dict[str, Any] = {other.name: other.output for other in done}
        return NodeCall(call.request, outputs, call.texts, call.is_answer, call.context)

    def _head(self, answer: str) -> dict[str, Any]:
        stream = self._nodes[answer].stream
        whole = stream.whole() if isinstance(stream, ServiceStream) else {}
        return {key: whole[key] for key in _HEAD_FIELDS if key in whole}


def _raised(first: StreamPart | BaseException) -> StreamPart:
    if isinstance(first, BaseException):
        raise first
    return first


def _attachable(value: object) -> str:
    """Write bytes (audio) as base64, anything else that JSON lacks as its text."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
