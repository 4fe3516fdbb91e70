r"""One execution of a pipeline: each node once, after its upstreams, and nothing left behind.

    pending --> running --> succeeded | failed | cancelled
       |           \--> streaming --> succeeded | failed | cancelled
       \--> skipped                  (no incoming edge is live)

A hard node's failure ends the run; a soft node's becomes its output. The answer node of a streamed run hands its
stream to whoever reads `events`; that reader drives it, so a slow client slows the source and nothing piles up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping
from typing import Any, TypeVar

from megaservice.nodes.base import NodeCall, NodeClient, NodeStream, Output, StreamPart
from megaservice.orchestration.answer import final_event
from megaservice.orchestration.observer import RunObserver
from megaservice.orchestration.readiness import SETTLED, NodeStatus, should_run
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.spec import Dependency
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
        self._clients = clients
        self._request = request
        self._context = context
        self._observer = observer
        self.statuses = dict.fromkeys(pipeline.dag.order, NodeStatus.PENDING)
        self.outputs: dict[str, Output] = {}
        dag, answer = pipeline.dag, pipeline.answer_node
        #: The nodes that may run while the answer streams.
        self._beside = [name for name in dag.order if name != answer and answer not in dag.ancestors(name)]
        loop = asyncio.get_running_loop()
        self._settled: dict[str, asyncio.Future[None]] = {name: loop.create_future() for name in self.statuses}
        self._failure: asyncio.Future[None] = loop.create_future()
        self._opened: asyncio.Future[NodeStream] = loop.create_future()
        self._drained: asyncio.Future[None] = loop.create_future()
        self._parts: AsyncGenerator[StreamPart] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False
        observer.started()

    async def finish(self) -> dict[str, Output]:
        """Run every node and return the outputs by node, in topological order; closes the run.

        Raises:
            ServiceError: A hard node failed; the others were cancelled.
        """
        try:
            self._start(stream=False)
            await self._unless_failed(self._all_settled())
            return {name: self.outputs[name] for name in self.statuses if name in self.outputs}
        finally:
            await self.close()

    async def start_stream(self) -> tuple[NodeStream, StreamPart]:
        """Start the nodes and wait for the first part of the answer; closes the run if that fails.

        Returns:
            The answer's stream, and its first part for `events`.

        Raises:
            ServiceError: The answer node, or a hard node before it, failed.
        """
        try:
            self._start(stream=True)
            stream = await self._unless_failed(_result_of(self._opened))
            self._parts = stream.parts()
            return stream, await self._unless_failed(self._first_part(self._parts))
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
        assert self._parts is not None  # start_stream came first  # noqa: S101
        try:
            self._observer.token()
            yield first.encoded
            while (part := await self._next_part(self._parts)) is not None:
                self._observer.token()
                yield part.encoded
            self._drained.set_result(None)
            await self._unless_failed(self._all_settled())
            last = final_event(self._pipeline, self._request, self.outputs)
            if last is not None:
                yield last
            yield DONE_EVENT
        except ServiceError:
            self._note_answer_failure()
            raise
        finally:
            await self.close()

    async def close(self) -> None:
        """Cancel what still runs, close the stream, and report the end; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._parts is not None:
            await self._parts.aclose()
        futures: list[asyncio.Future[Any]] = [self._failure, self._opened, self._drained, *self._settled.values()]
        for future in futures:
            future.cancel()
        for name, status in self.statuses.items():
            if status not in SETTLED:
                self.statuses[name] = NodeStatus.CANCELLED
        self._observer.ended(self.statuses)

    def _start(self, *, stream: bool) -> None:
        for name in self.statuses:
            streams = stream and name == self._pipeline.answer_node
            task = asyncio.create_task(self._run_node(name, streams=streams), name=f"node {name}")
            task.add_done_callback(self._note_failure)
            self._tasks.append(task)

    async def _run_node(self, name: str, *, streams: bool) -> None:
        upstreams = self._pipeline.dag.upstreams(name)
        for upstream in upstreams:
            await asyncio.shield(self._settled[upstream])
        if should_run(upstreams, self.statuses):
            await self._ask_node(name, streams=streams)
        else:
            self.statuses[name] = NodeStatus.SKIPPED
            if name == self._pipeline.answer_node:
                raise UpstreamBadResponseError(f"Node '{name}' was skipped because no node before it succeeded.")
        self._settled[name].set_result(None)

    async def _ask_node(self, name: str, *, streams: bool) -> None:
        client = self._clients[name]
        self.statuses[name] = NodeStatus.RUNNING
        try:
            self.outputs[name] = await self._output_of(name, client, streams=streams)
            self.statuses[name] = NodeStatus.SUCCEEDED
        except ServiceError as exc:
            self.statuses[name] = NodeStatus.FAILED
            if client.spec.dependency is Dependency.HARD or name == self._pipeline.answer_node:
                raise
            self.outputs[name] = client.failure_output(exc)

    async def _output_of(self, name: str, client: NodeClient, *, streams: bool) -> Output:
        call = self._call_of(name)
        stream = client.open_stream(call) if streams else None
        if stream is None:
            return await client.call(call)
        self.statuses[name] = NodeStatus.STREAMING
        self._opened.set_result(stream)
        await self._drained
        return stream.output()

    def _call_of(self, name: str) -> NodeCall:
        dag = self._pipeline.dag
        above = [node for node in dag.order if node in dag.ancestors(name)]
        outputs = {node: self.outputs[node] for node in above if self.statuses[node] is NodeStatus.SUCCEEDED}
        texts = {node: text for node in outputs if (text := self._clients[node].text_of(outputs[node])) is not None}
        is_answer = name == self._pipeline.answer_node
        return NodeCall(self._request, outputs, texts, is_answer, self._context)

    async def _first_part(self, parts: AsyncGenerator[StreamPart]) -> StreamPart:
        try:
            return await anext(parts)
        except ServiceError:
            self._note_answer_failure()
            raise

    async def _next_part(self, parts: AsyncGenerator[StreamPart]) -> StreamPart | None:
        """Return the next part, None at the end; the failure of a node beside the answer does not wait for it."""
        if self._failure.done():
            self._failure.result()
        if all(self.statuses[name] in SETTLED for name in self._beside):
            return await anext(parts, None)
        return await self._unless_failed(_next_of(parts))

    def _note_answer_failure(self) -> None:
        if self.statuses[self._pipeline.answer_node] is NodeStatus.STREAMING:
            self.statuses[self._pipeline.answer_node] = NodeStatus.FAILED

    async def _all_settled(self) -> None:
        for settled in self._settled.values():
            await asyncio.shield(settled)

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        exc = None if task.cancelled() else task.exception()
        if exc is not None and not self._failure.done():
            self._failure.set_exception(exc)
            self._failure.exception()  # marks it as seen: a run that is being closed has nobody who asks

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


async def _next_of(parts: AsyncGenerator[StreamPart]) -> StreamPart | None:
    return await anext(parts, None)


async def _result_of(future: asyncio.Future[ResultType]) -> ResultType:
    return await asyncio.shield(future)
