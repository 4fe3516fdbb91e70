"""One attempt of a loop: the nodes of its group, each once, beside the run that the loop is part of."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from typing import Any

from megaservice.nodes.base import NodeCall, StreamPart
from megaservice.orchestration.controlled_run import ControlledRun
from megaservice.orchestration.node_state import NodeState
from megaservice.orchestration.readiness import NodeStatus
from megaservice.pipeline.control import ATTEMPT, PREVIOUS
from megaservice.pipeline.control_plan import LoopPlan
from megaservice.pipeline.gates import Gate


class _Silent:
    """An attempt is no run of its own for those who measure."""

    def started(self) -> None:
        pass

    def token(self, answer: str = "") -> None:
        pass

    def ended(self, statuses: Mapping[str, NodeStatus]) -> None:
        pass


class AttemptRun(ControlledRun):
    """Runs the group of a loop once: either `finish`, or `begin` and then `parts`.

    Args:
        parent: The run that the loop is part of; what leads into the group has ended in it.
        loop: The loop.
        number: Of the attempt, from 1.
        previous: The outputs of the attempt before, None in the first.
    """

    def __init__(self, parent: ControlledRun, loop: LoopPlan, number: int, previous: Mapping[str, Any] | None) -> None:
        self._parent = parent
        self._loop = loop
        self._in_loop = {ATTEMPT: number, PREVIOUS: previous}
        self._shown: str | None = None
        super().__init__(parent.setup, loop.dag, _Silent())

    async def finish(self) -> None:
        """Run every node to its end; closes the attempt.

        Raises:
            ServiceError: A hard node failed; the others were cancelled.
        """
        try:
            self._start()
            await self._unless_failed(self._settled(self._dag.order))
        finally:
            await self.close()

    async def begin(self, shown: str) -> NodeState:
        """Start the nodes, and return the one whose stream is read when it streams or has ended without.

        Args:
            shown: The node.

        Raises:
            ServiceError: A hard node failed.
        """
        self._shown = shown
        self._streams_answer = True
        self._start()
        node = self._nodes[shown]
        await self._unless_failed(node.published())
        return node

    async def parts(self) -> AsyncGenerator[StreamPart]:
        """Yield the stream of the node that is shown, then wait for the others; closes the attempt.

        Raises:
            ServiceError: A hard node failed.
        """
        node = self._nodes[self._shown or ""]
        try:
            if node.status is not NodeStatus.SKIPPED:
                self._readers[node.name] = self._reader(node)
                while (part := await self._next_part(node.name)) is not None:
                    yield part
            await self._unless_failed(self._settled(self._dag.order))
        finally:
            await self.close()

    def state(self, name: str) -> NodeState:
        """Return the state of a node: the attempt's own, or that of a node outside the group."""
        return self._nodes.get(name) or self._parent.state(name)

    def opened(self, gate: Gate) -> Collection[str]:
        """Return the targets to which a rule opens the way; what was decided outside the loop stays so."""
        return super().opened(gate) if gate.source in self._nodes else self._parent.opened(gate)

    def scope(self) -> dict[str, Any]:
        """Return what `until` sees: the nodes before the group and those in it."""
        members = self._loop.members
        names = frozenset(members).union(*(self._pipeline.dag.ancestors(name) for name in members))
        return self._call_over(self._ordered(names)).scope()

    def outcome(self) -> dict[str, Any]:
        """Return what the next attempt sees of this one: the outputs of its nodes, with their texts."""
        scope = self._call_over(self._nodes.values()).scope()
        return {name: scope[name] for name in self._nodes if name in scope}

    def _call_over(self, nodes: Iterable[NodeState], *, is_answer: bool = False) -> NodeCall:
        return super()._call_over(nodes, is_answer=is_answer)._replace(loop=self._in_loop)

    def is_live(self, above: str, name: str) -> bool:
        """Return whether a node lets one behind it run; the parent knows of those outside the group."""
        return super().is_live(above, name) if above in self._nodes else self._parent.is_live(above, name)

    def _source(self, node: NodeState) -> NodeState | None:
        # What streams into the group from outside was read to its end before the first attempt.
        return super()._source(node) if self._dag.upstreams(node.name) else None

    def _reader_count(self, node: NodeState) -> int:
        count = super()._reader_count(node)
        # The loop reads the node that it shows, whether that writes the answer or a guard behind the loop takes it.
        return count - (node.name in self._answers) + (node.name == self._shown) if self._streams_answer else 0

    def is_hard(self, node: NodeState) -> bool:
        """Return whether a node's failure is the request's."""
        return self._parent.is_hard(node)
