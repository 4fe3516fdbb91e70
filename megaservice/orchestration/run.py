"""One execution of a YAML pipeline: a graph run with one answer, and what is attached to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from megaservice.nodes.base import NodeStream, Output, StreamPart
from megaservice.orchestration.answer import answering_node, final_event, has_text
from megaservice.orchestration.controlled_run import ControlledRun, RunSetup
from megaservice.orchestration.graph_run import first_part
from megaservice.orchestration.loop import Loop
from megaservice.orchestration.node_state import NodeState
from megaservice.orchestration.observer import RunObserver
from megaservice.orchestration.read_ahead import ReadAhead
from megaservice.orchestration.readiness import NodeStatus
from megaservice.pipeline.control_plan import LoopPlan
from megaservice.pipeline.spec import ConsumeMode
from servicekit.errors import InternalError, UpstreamBadResponseError
from servicekit.sse import DONE_EVENT


class PipelineRun(ControlledRun):
    """Runs one request through a pipeline, once: either `finish`, or `start_stream` and then `events`.

    Args:
        setup: What is run, for whom.
        observer: Is told when tokens come and when the run ends.
    """

    def __init__(self, setup: RunSetup, observer: RunObserver) -> None:
        super().__init__(setup, setup.pipeline.dag, observer)
        self._answer = setup.pipeline.answer_node
        self._loops: dict[str, Loop] = {}
        self._ahead: dict[str, ReadAhead] = {}

    @property
    def attempts(self) -> dict[str, int]:
        """How many attempts each loop made, by its name; loops that were skipped are not there."""
        return {name: loop.attempts for name, loop in self._loops.items() if loop.attempts is not None}

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
            if len(self._pipeline.answer_nodes) > 1:
                self._read_ahead()
            node = await self._unless_failed(self._answering())
            self._answer = node.name
            ahead = self._ahead.get(node.name)
            reader = self._readers[node.name] = ahead.parts() if ahead else self._reader(node)
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
        try:
            self._observer.token()
            yield first.encoded
            while (part := await self._next_part(self._answer)) is not None:
                self._observer.token()
                yield part.encoded
            await self._unless_failed(self._settled(self._dag.order))
            last = final_event(self._pipeline, self.setup.request, self.outputs, self.attempts)
            if last is not None:
                yield last
            yield DONE_EVENT
        finally:
            await self.close()

    def _start(self) -> None:
        looping = self._plan.looping
        for node in self._nodes.values():
            if node.name not in looping:
                self._spawn(self._run_node(node), f"node {node.name}")
        for plan in self._plan.loops:
            loop = self._loops[plan.name] = Loop(plan, self, self._shown(plan))
            self._spawn(self._run_loop(plan, loop), f"loop {plan.name}")

    async def _run_loop(self, plan: LoopPlan, loop: Loop) -> None:
        await self._settled(plan.before)
        if not self._failure.done():
            await loop.work()

    def _shown(self, plan: LoopPlan) -> tuple[str, int] | None:
        """Return the node of a loop whose stream is read outside of it, and by how many; the likely answer first."""
        if not self._streams_answer:
            return None
        counts = {name: self._reader_count_outside(plan, name) for name in plan.members}
        preferred = [*(name for name in self._pipeline.answer_nodes if name in counts), *counts]
        return next(((name, counts[name]) for name in preferred if counts[name]), None)

    def _reader_count_outside(self, plan: LoopPlan, name: str) -> int:
        below = (self._nodes[other] for other in self._dag.downstreams(name) if other not in plan.members)
        return sum(1 for other in below if other.consume is not ConsumeMode.WHOLE) + (name in self._answers)

    def _reader_count(self, node: NodeState) -> int:
        looping = self._plan.looping
        if not looping:
            return super()._reader_count(node)
        # An attempt gets what comes from outside as a whole, since the next one needs it again.
        below = (self._nodes[name] for name in self._dag.downstreams(node.name) if name in looping)
        return super()._reader_count(node) - sum(
            1 for other in below if self._streams_answer and other.consume is not ConsumeMode.WHOLE
        )

    async def _answering(self) -> NodeState:
        """Return the node that writes the answer, once it is known which one that is and it has begun."""
        for name in self._pipeline.answer_nodes:
            node = self._nodes[name]
            await node.published()
            if node.status is not NodeStatus.SKIPPED:
                return node
        # All of them were kept out: the last text before them is the answer.
        return self._nodes[answering_node(self._pipeline, self.outputs)]

    def _read_ahead(self) -> None:
        """Read what several nodes might answer, until it is known which of them does."""
        for name in self._pipeline.answer_nodes:
            ahead = self._ahead[name] = ReadAhead()
            self._spawn(self._fill(ahead, self._nodes[name]), f"read {name} ahead")

    async def _fill(self, ahead: ReadAhead, node: NodeState) -> None:
        await node.published()
        if node.status is not NodeStatus.SKIPPED:
            await ahead.fill(self._reader(node))

    async def _stop(self) -> None:
        await super()._stop()
        for loop in self._loops.values():
            await loop.close()

    def skip(self, node: NodeState) -> None:
        """End a node without asking it; the run ends where nothing is left that could be the answer."""
        super().skip(node)
        answers = self._pipeline.answer_nodes
        if node.name not in answers or any(self._nodes[name].status is not NodeStatus.SKIPPED for name in answers):
            return
        if self.kept_out.isdisjoint(answers):
            error = UpstreamBadResponseError(f"Node '{node.name}' was skipped because no node before it succeeded.")
            self.end_by(error)
        elif not self._has_substitute():
            what = f"No condition of pipeline '{self._pipeline.spec.name}' let a node answer this request"
            self.end_by(InternalError(f"{what}; give its switch a case without 'when', for all others."))

    def _has_substitute(self) -> bool:
        """Whether there is a text before the nodes that could have answered."""
        above = frozenset[str]().union(*(self._dag.ancestors(name) for name in self._pipeline.answer_nodes))
        nodes = [self._nodes[name] for name in above]
        return any(node.status is NodeStatus.SUCCEEDED and has_text(node.output) for node in nodes)
