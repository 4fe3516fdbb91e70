"""One execution of a plain chain: its nodes one after the other in the caller's own task.

What `PipelineRun` does for any graph takes a task, a future and some events for each node. Where every node only
waits for the one before it, an `await` says the same at a tenth of the price; the shapes' tests hold both to one table.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from types import MappingProxyType

from anyio import CancelScope

from megaservice.nodes.base import NodeCall, NodeStream, Output, StreamPart
from megaservice.orchestration.answer import final_event
from megaservice.orchestration.controlled_run import RunSetup
from megaservice.orchestration.graph_run import first_part
from megaservice.orchestration.observer import RunObserver
from megaservice.orchestration.readiness import SETTLED, NodeStatus, pruned_downstreams
from megaservice.pipeline.spec import Dependency
from servicekit.errors import ServiceError
from servicekit.http.response import Sink
from servicekit.sse import DONE_EVENT

# Looking up an enumeration's member takes as long as what is done with it.
_RUNNING, _SUCCEEDED, _SKIPPED = NodeStatus.RUNNING, NodeStatus.SUCCEEDED, NodeStatus.SKIPPED


class ChainRun:
    """Runs one request through a plain chain, once: either `finish`, or `start_stream` and then `events`.

    Args:
        setup: What is run, for whom; `is_plain_chain` holds for its pipeline.
        observer: Is told when tokens come and when the run ends.
    """

    #: There are no loops here.
    attempts = MappingProxyType[str, int]({})

    def __init__(self, setup: RunSetup, observer: RunObserver) -> None:
        self._setup = setup
        self._observer = observer
        self._pipeline = setup.pipeline
        self._answer = setup.pipeline.answer_node
        self._outputs: dict[str, Output] = {}
        self._texts: dict[str, str] = {}
        self._statuses: dict[str, NodeStatus] = {}
        self._parts: AsyncGenerator[StreamPart] | None = None
        self._stream: NodeStream | None = None
        self._closed = False
        observer.started()

    @property
    def outputs(self) -> dict[str, Output]:
        """The output of each node that has one, in their order."""
        return self._outputs

    async def finish(self) -> dict[str, Output]:
        """Run the nodes and return their outputs, in their order; closes the run.

        Raises:
            ServiceError: A hard node failed.
        """
        try:
            for name in self._pipeline.dag.order:
                if not await self._ask(name):
                    break
            return self._outputs
        finally:
            self._end()

    async def start_stream(self) -> tuple[NodeStream | None, StreamPart]:
        """Run the nodes before the answer and wait for the answer's first part; closes the run if that fails.

        Returns:
            The answer's stream, and its first part for `events`.

        Raises:
            ServiceError: The answer node, or one before it, failed.
        """
        name = self._answer
        try:
            for before in self._pipeline.dag.order:
                if before == name:
                    break
                await self._ask(before)
            stream = self._stream = self._setup.clients[name].open_stream(self._call_of(name))
            assert stream is not None  # a chat node streams  # noqa: S101
            self._parts = stream.parts()
            self._statuses[name] = NodeStatus.STREAMING
            return stream, await first_part(self._parts, name)
        except BaseException:
            await self.close()
            raise

    async def events(self, first: StreamPart) -> AsyncGenerator[bytes]:
        """Yield the answer's events, then the attached outputs in one last event, then `[DONE]`.

        Args:
            first: From `start_stream`.

        Raises:
            ServiceError: A hard node failed; nothing is yielded after it.
        """
        parts, stream, token = self._parts, self._stream, self._observer.token
        assert parts is not None and stream is not None  # start_stream comes first  # noqa: S101, PT018
        try:
            token()
            yield first.encoded
            async for part in parts:
                token()
                yield part.encoded
            self._parts = None  # at its end
            self._succeed(self._answer, stream.output())
            await self._ask_graders()
            last = final_event(self._pipeline, self._setup.request, self._outputs)
            if last is not None:
                yield last
            yield DONE_EVENT
        finally:
            await self.close()

    def relay_to(self, sink: Sink) -> None:
        """Offer the answer's parts to a sink, see `NodeStream`; between `start_stream` and the first of `events`.

        What takes its way through `events` costs a turn of this task and of all generators in between; of thousands
        of tokens a second that is most of the price.
        """
        relay = getattr(self._stream, "relay_to", None)
        if relay is not None:
            relay(sink, self._observer.token)

    async def close(self) -> None:
        """Close the stream, and report the end; safe to call twice."""
        if self._closed:
            return
        if self._parts is not None:
            with CancelScope(shield=True):  # a client's task may be cancelled again and again
                await self._parts.aclose()
        self._end()

    async def _ask_graders(self) -> None:
        order = self._pipeline.dag.order
        for name in order[order.index(self._answer) + 1 :]:
            if not await self._ask(name):
                break

    async def _ask(self, name: str) -> bool:
        """Ask a node for its whole output; return whether the next one runs.

        Raises:
            ServiceError: It failed and is hard.
        """
        client = self._setup.clients[name]
        self._statuses[name] = _RUNNING
        try:
            output = await client.call(self._call_of(name))
        except ServiceError as exc:
            self._statuses[name] = NodeStatus.FAILED
            if client.spec.dependency is Dependency.HARD or name == self._answer:
                raise
            self._outputs[name] = client.failure_output(exc)
            return False
        self._succeed(name, output)
        return not pruned_downstreams(output, self._pipeline.dag.downstreams(name))

    def _succeed(self, name: str, output: Output) -> None:
        self._outputs[name] = output
        self._statuses[name] = _SUCCEEDED
        if not self._pipeline.dag.downstreams(name):
            return  # nobody asks for its text
        text = self._setup.clients[name].text_of(output)
        if text is not None:
            self._texts[name] = text

    def _call_of(self, name: str) -> NodeCall:
        setup = self._setup
        # Copies: a call must not change while the run goes on.
        return NodeCall(setup.request, {**self._outputs}, {**self._texts}, name == self._answer, setup.context)

    def _end(self) -> None:
        if self._closed:
            return
        self._closed = True
        statuses = {}
        for name in self._pipeline.dag.order:
            # What was asked and has not ended was cancelled; what was not asked has no edge that is there.
            status = self._statuses.get(name, _SKIPPED)
            statuses[name] = status if status in SETTLED else NodeStatus.CANCELLED
        self._observer.ended(statuses)
