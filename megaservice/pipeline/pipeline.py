"""A pipeline that passed every check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from megaservice.pipeline.dag import Dag
from megaservice.pipeline.spec import PipelineSpec


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A checked pipeline.

    Attributes:
        spec: As declared.
        dag: Its graph.
        answer_node: The last text-producing node: what the client sees as the answer.
        attached: The nodes whose outputs are attached to the answer, and under which names.
    """

    spec: PipelineSpec
    dag: Dag
    answer_node: str
    attached: Mapping[str, str]
