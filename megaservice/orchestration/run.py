r"""One execution of a pipeline: each node once, after its upstreams, and nothing left behind.

    pending --> running --> succeeded | failed | cancelled
       |           \--> streaming --> succeeded | failed | cancelled
       \--> skipped                  (no incoming edge is live)

A node streams where somebody reads its stream: the client, or a later node that works piece by piece. A single reader
drives the stream itself, so a slow client slows the source and nothing piles up; several share it through a `Feed`.
A hard node's failure ends the run; a soft node's becomes its output.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

from megaservice.nodes.base import NodeCall, NodeClient, NodeStream, Output, StreamPart
from megaservice.orchestration.answer import final_event
from megaservice.orchestration.feed import Feed
from megaservice.orchestration.node_state import NodeState
from megaservice.orchestration.observer import RunObserver
from megaservice.orchestration.readiness import NodeStatus, should_run
from megaservice.orchestration.segment_stream import SegmentStream
from megaservice.orchestration.segments import segmenter_for
from megaservice.orchestration.text_chunks import TextChunks
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.spec import ConsumeMode, Dependency
from servicekit.context import CallContext
from servicekit.errors import ServiceError, UpstreamBadResponseError
from servicekit.sse import DONE_EVENT

ResultType = TypeVar("ResultType")


class PipelineRun:
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
        self._pipeline = pipeline
        self._request = request
        self._context = context
        self._observer = observer
        self._nodes = {name: NodeState(name, clients[name]) for name in pipeline.dag.order}
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answer: AsyncGenerator[StreamPart] | None = None
        self._tasks: list[asyncio.Task[None]] = []
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

    async def finish(self) -> dict[str, Output]:
        """Run every node and return the outputs by node, in topological order; closes the run.

        Raises:
            ServiceError: A hard node failed; the others were cancelled.
        """
        try:
            self._start()
            await self._unless_failed(self._all_settled())
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
            self._answer = self._reader(node)
            return node.stream, await self._unless_failed(_first(self._answer, node))
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
        assert self._answer is not None  # start_stream came first  # noqa: S101
        try:
            self._observer.token()
            yield first.encoded
            while (part := await self._next_part(self._answer)) is not None:
                self._observer.token()
                yield part.encoded
            await self._unless_failed(self._all_settled())
            last = final_event(self._pipeline, self._request, self.outputs)
            if last is not None:
                yield last
            yield DONE_EVENT
        finally:
            await self.close()

    async def close(self) -> None:
        """Cancel what still runs, close the streams, and report the end; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._answer is not None:
            await self._answer.aclose()
        for node in self._nodes.values():
            await node.close()
        self._failure.cancel()
        self._observer.ended(self.statuses)

    def _start(self) -> None:
        for node in self._nodes.values():
            task = asyncio.create_task(self._run_node(node), name=f"node {node.name}")
            task.add_done_callback(self._note_failure)
            self._tasks.append(task)

    async def _run_node(self, node: NodeState) -> None:
        upstreams = self._pipeline.dag.upstreams(node.name)
        source = self._source(node)
        for upstream in upstreams:
            above = self._nodes[upstream]
            await (above.published() if above is source else above.settled())
        if self._failure.done():
            return  # the run is over; whoever waits for it closes it
        if not should_run(upstreams, self.statuses):
            self._skip(node)
            return
        node.status = NodeStatus.RUNNING
        try:
            await self._ask(node, source)
        except ServiceError as exc:
            self._fail(node, exc)

    async def _ask(self, node: NodeState, source: NodeState | None) -> None:
        call = self._call_of(node)
        reader_count = self._reader_count(node)
        if source is not None:
            chunks = TextChunks(_model_of(source))
            reader = (source.name, self._reader(source))
            node.stream = SegmentStream(node.name, node.client, call, reader, segmenter_for(node.consume), chunks)
        elif reader_count:
            node.stream = node.client.open_stream(call)
        if node.stream is None:
            node.succeed(await node.client.call(call))
        elif reader_count:
            node.publish(Feed(self._driven(node, node.stream), reader_count))
        else:
            async with aclosing(self._driven(node, node.stream)) as parts:
                async for _part in parts:
                    pass

    async def _driven(self, node: NodeState, stream: NodeStream) -> AsyncGenerator[StreamPart]:
        """Yield a node's stream, and settle the node when it ends."""
        try:
            async with aclosing(stream.parts()) as parts:
                async for part in parts:
                    yield part
        except ServiceError as exc:
            self._fail(node, exc)
            return
        node.succeed(stream.output())

    def _source(self, node: NodeState) -> NodeState | None:
        """Return the upstream that this node takes piece by piece."""
        if node.consume is ConsumeMode.WHOLE:
            return None
        return self._nodes[self._pipeline.dag.upstreams(node.name)[0]]

    def _reader(self, node: NodeState) -> AsyncGenerator[StreamPart]:
        """Return a reader of a node's stream; a node that did not stream has one part, its whole text."""
        return _whole_text(node) if node.feed is None else _unbroken(node, node.feed.reader())

    def _reader_count(self, node: NodeState) -> int:
        """Return how many read this node's stream; in JSON mode nobody does."""
        if not self._streams_answer:
            return 0
        below = (self._nodes[name] for name in self._pipeline.dag.downstreams(node.name))
        piecewise = sum(1 for other in below if other.consume is not ConsumeMode.WHOLE)
        return piecewise + (node.name == self._pipeline.answer_node)

    def _call_of(self, node: NodeState) -> NodeCall:
        dag = self._pipeline.dag
        above = [self._nodes[name] for name in dag.order if name in dag.ancestors(node.name)]
        done = [other for other in above if other.status is NodeStatus.SUCCEEDED and other.output is not None]
        texts = {other.name: text for other in done if (text := other.text()) is not None}
        outputs = {other.name: other.output for other in done if other.output is not None}
        is_answer = node.name == self._pipeline.answer_node
        return NodeCall(self._request, outputs, texts, is_answer, self._context)

    async def _next_part(self, answer: AsyncGenerator[StreamPart]) -> StreamPart | None:
        """Return the next part, None at the end; the failure of a node beside the answer does not wait for it."""
        if self._failure.done():
            self._failure.result()
        if any(node.is_working for node in self._nodes.values() if node.name != self._pipeline.answer_node):
            return await self._unless_failed(_next(answer))
        return await anext(answer, None)

    def _skip(self, node: NodeState) -> None:
        node.skip()
        if node.name == self._pipeline.answer_node:
            error = UpstreamBadResponseError(f"Node '{node.name}' was skipped because no node before it succeeded.")
            self._end_by(error)

    def _fail(self, node: NodeState, error: ServiceError) -> None:
        is_hard = node.client.spec.dependency is Dependency.HARD or node.name == self._pipeline.answer_node
        node.fail(error, None if is_hard else node.client.failure_output(error))
        if is_hard:
            self._end_by(error)

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        exc = None if task.cancelled() else task.exception()
        if exc is not None:
            self._end_by(exc)

    def _end_by(self, error: BaseException) -> None:
        """Make everybody who waits for this run raise the first failure."""
        if not self._failure.done():
            self._failure.set_exception(error)
            self._failure.exception()  # marks it as seen: a run that is being closed has nobody who asks

    async def _all_settled(self) -> None:
        for node in self._nodes.values():
            await node.settled()

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
            await asyncio.gather(working, return_exceptions=True)


async def _next(parts: AsyncGenerator[StreamPart]) -> StreamPart | None:
    return await anext(parts, None)


async def _unbroken(node: NodeState, parts: AsyncGenerator[StreamPart]) -> AsyncGenerator[StreamPart]:
    """Yield a stream's parts; where it ended because its node failed, so does the reader."""
    async with aclosing(parts):
        async for part in parts:
            yield part
    if node.error is not None:
        raise node.error


async def _whole_text(node: NodeState) -> AsyncGenerator[StreamPart]:
    text = node.text()
    if not text:
        raise UpstreamBadResponseError(f"Node '{node.name}' answered no text.")
    chunks = TextChunks(_model_of(node))
    yield chunks.text(text)
    yield chunks.finish()


def _model_of(node: NodeState) -> str:
    return str((node.output or {}).get("model", ""))


async def _first(parts: AsyncGenerator[StreamPart], node: NodeState) -> StreamPart:
    try:
        return await anext(parts)
    except StopAsyncIteration as exc:
        raise UpstreamBadResponseError(f"Node '{node.name}' ended its stream without a first event.") from exc
