"""Which pipelines are plain chains: what most are, and what needs no schedule."""

from __future__ import annotations

from itertools import pairwise

from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.spec import ConsumeMode, Dependency, ServiceKind


def is_plain_chain(pipeline: Pipeline) -> bool:
    """Return whether a pipeline is `llm >> ... >> llm >> grader >> ...`, and nothing in it depends on anything.

    Chat nodes in a row, the last of which writes the answer, and graders behind it; each takes what is before it
    whole; no rule, condition, loop or output mapping. Its nodes can be asked one after the other.
    """
    plan = pipeline.plan
    if plan.gates or plan.conditions or plan.loops or plan.outputs or pipeline.answer_nodes != (pipeline.answer_node,):
        return False
    order = pipeline.dag.order
    if pipeline.dag.edges != tuple(pairwise(order)):
        return False
    nodes = [pipeline.spec.nodes[name] for name in order]
    before = order.index(pipeline.answer_node)
    kinds = [node.service_type for node in nodes]
    return (
        all(node.consume is ConsumeMode.WHOLE for node in nodes)
        and all(node.dependency is Dependency.HARD for node in nodes[:before])
        and kinds == [ServiceKind.LLM] * (before + 1) + [ServiceKind.GRADER] * (len(nodes) - before - 1)
    )
