"""A pipeline that passed every check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from megaservice.pipeline.control_plan import ControlPlan, make_control_plan
from megaservice.pipeline.dag import Dag
from megaservice.pipeline.spec import PipelineSpec


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A checked pipeline.

    Who answers: where nothing decides among branches it is one node, `answer_node`. Where a switch, a split or a
    condition does, it is whichever of `answer_nodes` ran, in this order of preference; where none ran, the last
    text-producing node before them (see `orchestration.answer.answering_node`).

    Attributes:
        spec: As declared.
        dag: Its graph: of all edges, also those that are not there in every run.
        answer_node: The last text-producing node: what the client sees as the answer.
        attached: The nodes whose outputs are attached to the answer, and under which names.
        plan: Its control flow, compiled once for all runs.
    """

    spec: PipelineSpec
    dag: Dag
    answer_node: str
    attached: Mapping[str, str]
    plan: ControlPlan = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "plan", make_control_plan(self.spec, self.dag))

    @property
    def answer_nodes(self) -> tuple[str, ...]:
        """The nodes that can write the answer, in order of preference; the first is `answer_node`."""
        return self.plan.answers
