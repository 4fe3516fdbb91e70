r"""One execution of a graph of nodes: each node once, after its upstreams, and nothing left behind.

    pending --> running --> succeeded | failed | cancelled
       |           \--> streaming --> succeeded | failed | cancelled
       \--> skipped                  (no incoming edge is live)

A node streams where somebody reads its stream: the client, or a later node that works piece by piece. A single reader
drives the stream itself, so a slow client slows the source and nothing piles up; several share it through a `Feed`.
A hard node's failure ends the run; a soft node's becomes its output.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Coroutine, Iterable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

from anyio import CancelScope

from megaservice.nodes.base import NodeCall, NodeClient, NodeStream, Output, StreamPart
from megaservice.orchestration.feed import Feed
from megaservice.orchestration.node_state import NodeState, short_name
from megaservice.orchestration.observer import RunObserver
from megaservice.orchestration.readiness import NodeStatus, pruned_downstreams, should_run
from megaservice.orchestration.segment_stream import SegmentStream
from megaservice.orchestration.segments import segmenter_for
from megaservice.orchestration.text_chunks import ChunkWriter, TextChunks
from megaservice.pipeline.dag import Dag
from megaservice.pipeline.spec import ConsumeMode, Dependency
from servicekit.context import CallContext
from servicekit.errors import ServiceError, UpstreamBadResponseError
from servicekit.openai.stream_end import TELLING_REASONS

ResultType = TypeVar("ResultType")


class GraphRun:
    """Runs one request through a graph, once. Its subclasses say what the client gets.

    Args:
        dag: The graph.
        clients: A client for each node.
        request: The caller's body.
        context: Request id and deadline.
        observer: Is told when tokens come and when the run ends.
        answers: The nodes whose streams the client reads, in stream mode.
    """

    #: How many parts the readers of one stream may be apart.
    feed_bound = 16

    def __init__(
        self,
        dag: Dag,
        clients: Mapping[str, NodeClient],
        request: Mapping[str, Any],
        context: CallContext,
        observer: RunObserver,
        answers: Collection[str],
    ) -> None:
        self._dag = dag
        self._request = request
        self._context = context
        self._observer = observer
        self._answers = answers
        self._nodes = {name: NodeState(name, clients[name]) for name in dag.order}
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._readers: dict[str, AsyncGenerator[StreamPart]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._pruned: dict[str, set[str]] = {}
        self._streams_answer = False
        self._closed = False
        observer.started()

    @property
    def statuses(self) -> dict[str, NodeStatus]:
        """The status of each node, in topological order."""
        return {name: node.status for name, node in self._nodes.items()}

    @property
    def outputs(self) -> dict[str, Output]:
        """The output of each node that has one, in topological order."""
        return {name: node.output for name, node in self._nodes.items() if node.output is not None}

    async def close(self) -> None:
        """Cancel what still runs, close the streams, and report the end; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        try:
            with CancelScope(shield=True):  # Starlette cancels a client's task again and again
                await self._stop()
        finally:
            self._failure.cancel()
            self._observer.ended(self.statuses)

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for reader in self._readers.values():
            await reader.aclose()
        for node in self._nodes.values():
            await node.close()

    def _start(self) -> None:
        for node in self._nodes.values():
            self._spawn(self._run_node(node), f"node {node.name}")

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Do some of the run's work beside the rest; its failure is the run's."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._note_failure)
        self._tasks.append(task)

    async def _run_node(self, node: NodeState) -> None:
        source = self._source(node)
        await self._upstreams_done(node, source)
        if self._failure.done():
            return  # the run is over; whoever waits for it closes it
        try:
            if not self._may_run(node):
                self.skip(node)
                return
            node.status = NodeStatus.RUNNING
            await self._ask(node, source)
        except ServiceError as exc:
            self.fail(node, exc)

    async def _upstreams_done(self, node: NodeState, source: NodeState | None) -> None:
        for upstream in self._dag.upstreams(node.name):
            above = self._nodes[upstream]
            await (above.published() if above is source else above.settled())

    def _may_run(self, node: NodeState) -> bool:
        pruned = self._pruned.get(node.name, set())
        return should_run(self._dag.upstreams(node.name), self.statuses, pruned)

    async def _ask(self, node: NodeState, source: NodeState | None) -> None:
        call = self._call_of(node)
        reader_count = self._reader_count(node)
        if source is not None:
            node.stream = self._segments(node, call, source)
        elif reader_count:
            node.stream = node.client.open_stream(call)
        if node.stream is None:
            self.succeed(node, await node.client.call(call))
        elif reader_count:
            node.publish(Feed(self._driven(node, node.stream), reader_count, self.feed_bound))
        else:
            async with aclosing(self._driven(node, node.stream)) as parts:
                async for _part in parts:
                    pass

    def _segments(self, node: NodeState, call: NodeCall, source: NodeState) -> SegmentStream:
        reader = (source.name, self._reader(source))
        segmenter = segmenter_for(node.consume)
        return SegmentStream(short_name(node.name), node.client, call, reader, segmenter, lambda: self._writer(source))

    async def _driven(self, node: NodeState, stream: NodeStream) -> AsyncGenerator[StreamPart]:
        """Yield a node's stream, and settle the node when it ends, or when nobody reads it any more."""
        try:
            async with aclosing(stream.parts()) as parts:
                async for part in parts:
                    yield part
            self.succeed(node, stream.output())
        except ServiceError as exc:
            self.fail(node, exc)
        except (GeneratorExit, asyncio.CancelledError):
            node.cancel()
            raise

    def _source(self, node: NodeState) -> NodeState | None:
        """Return the upstream that this node takes piece by piece."""
        if node.consume is ConsumeMode.WHOLE:
            return None
        return self._nodes[self._dag.upstreams(node.name)[0]]

    def _reader(self, node: NodeState) -> AsyncGenerator[StreamPart]:
        """Return a reader of a node's stream; a node that did not stream gives its whole text."""
        return _whole_text(node, self._writer(node)) if node.feed is None else _unbroken(node, node.feed.reader())

    def _reader_count(self, node: NodeState) -> int:
        """Return how many read this node's stream; in JSON mode nobody does."""
        if not self._streams_answer:
            return 0
        below = (self._nodes[name] for name in self._dag.downstreams(node.name))
        piecewise = sum(1 for other in below if other.consume is not ConsumeMode.WHOLE)
        return piecewise + (node.name in self._answers)

    def _writer(self, source: NodeState) -> ChunkWriter:
        """Return what writes a stream about a node's text."""
        return TextChunks(source.head())

    def _call_of(self, node: NodeState) -> NodeCall:
        ancestors = self._dag.ancestors(node.name)
        above = [self._nodes[name] for name in self._dag.order if name in ancestors]
        return self._call_over(above, is_answer=node.name in self._answers)

    def _call_over(self, nodes: Iterable[NodeState], *, is_answer: bool = False) -> NodeCall:
        """Return what a node knows that sees these others: those of them that succeeded."""
        done = [other for other in nodes if other.status is NodeStatus.SUCCEEDED]
        texts = {other.name: text for other in done if (text := other.text()) is not None}
        outputs = {other.name: other.output for other in done if other.output is not None}
        return NodeCall(self._request, outputs, texts, is_answer, self._context)

    async def _next_part(self, answer: str) -> StreamPart | None:
        """Return an answer's next part, None at its end; a failure beside it does not wait for it."""
        if self._failure.done():
            self._failure.result()
        if any(node.is_working for node in self._nodes.values() if node.name != answer):
            return await self._unless_failed(_next(self._readers[answer]))
        return await anext(self._readers[answer], None)

    def succeed(self, node: NodeState, output: Output) -> None:
        """End a node well, and take out of the run the edges that its output names."""
        self._prune(node, pruned_downstreams(output, self._dag.downstreams(node.name)))
        node.succeed(output)

    def _prune(self, node: NodeState, targets: Collection[str]) -> None:
        """Take the edges from a node to these others out of the run."""
        for target in targets:
            self._pruned.setdefault(target, set()).add(node.name)

    def skip(self, node: NodeState) -> None:
        """End a node without asking it."""
        node.skip()

    def fail(self, node: NodeState, error: ServiceError) -> None:
        """End a node badly; a hard one ends the run."""
        is_hard = self.is_hard(node)
        node.fail(error, None if is_hard else node.client.failure_output(error))
        if is_hard:
            self.end_by(error)

    def is_hard(self, node: NodeState) -> bool:
        """Return whether a node's failure is the request's."""
        return node.client.spec.dependency is Dependency.HARD or node.name in self._answers

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        exc = None if task.cancelled() else task.exception()
        if exc is not None:
            self.end_by(exc)

    def end_by(self, error: BaseException) -> None:
        """Make everybody who waits for this run raise the first failure."""
        if not self._failure.done():
            self._failure.set_exception(error)
            self._failure.exception()  # marks it as seen: a run that is being closed has nobody who asks

    async def _settled(self, names: Collection[str]) -> None:
        for name in names:
            await self._nodes[name].settled()

    async def _unless_failed(self, work: Coroutine[Any, Any, ResultType]) -> ResultType:
        """Await `work`, or raise a node's failure as soon as there is one."""
        working = asyncio.ensure_future(work)
        try:
            await asyncio.wait((working, self._failure), return_when=asyncio.FIRST_COMPLETED)
            if self._failure.done():
                self._failure.result()
            return working.result()
        finally:
            working.cancel()
            with CancelScope(shield=True):  # Starlette cancels a client's task again and again
                await asyncio.gather(working, return_exceptions=True)


async def _next(parts: AsyncGenerator[StreamPart]) -> StreamPart | None:
    return await anext(parts, None)


async def first_part(parts: AsyncGenerator[StreamPart], name: str) -> StreamPart:
    """Return a stream's first part.

    Raises:
        UpstreamBadResponseError: It has none.
    """
    try:
        return await anext(parts)
    except StopAsyncIteration as exc:
        raise UpstreamBadResponseError(f"Node '{name}' ended its stream without a first event.") from exc


async def _unbroken(node: NodeState, parts: AsyncGenerator[StreamPart]) -> AsyncGenerator[StreamPart]:
    """Yield a stream's parts; where it ended because its node failed, so does the reader."""
    async with aclosing(parts):
        async for part in parts:
            yield part
    if node.error is not None:
        raise node.error


async def _whole_text(node: NodeState, writer: ChunkWriter) -> AsyncGenerator[StreamPart]:
    text = node.text() or ""
    if not text and node.finish_reason() not in TELLING_REASONS:
        raise UpstreamBadResponseError(f"Node '{short_name(node.name)}' answered no text.")
    for part in (*writer.parts(text), *writer.end(node.finish_reason() or "stop")):
        yield part
