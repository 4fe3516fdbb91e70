"""Checks of a whole pipeline that no single field can tell: cycles, fallbacks, who writes and what is attached.

Each is made on whatever could be read, so that one run shows everything; none speaks of what follows from a problem
that is already noted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from megaservice.pipeline.address_checks import check_addresses
from megaservice.pipeline.control import RepeatRule
from megaservice.pipeline.control_checks import check_control
from megaservice.pipeline.control_plan import make_control_plan
from megaservice.pipeline.dag import CycleError, Dag
from megaservice.pipeline.dialects.opea import MEGA_KEY, NODES_KEY
from megaservice.pipeline.draft import Draft
from megaservice.pipeline.input_checks import check_inputs
from megaservice.pipeline.located_yaml import LocatedYaml
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.scopes import Scopes
from megaservice.pipeline.spec import (
    PIECEWISE,
    TEXT_PRODUCERS,
    ConsumeMode,
    NodeSpec,
    PipelineSpec,
    output_fields,
)
from megaservice.pipeline.wording import choice_of
from servicekit.nearest import nearest

#: Fields of the answer that an attached output must not overwrite.
_ANSWER_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage", "error", "notice"})
#: Where an answer tells how often its loops ran.
_ATTEMPTS = "attempts"


def check_pipeline(document: LocatedYaml, draft: Draft, variables: Mapping[str, str]) -> Pipeline | None:
    """Add every problem to the document's; return the pipeline if there was none.

    Args:
        document: Where the draft came from.
        draft: What could be read of it.
        variables: Tell the gateway's own port.
    """
    dag = _graph(document, draft)
    for name, node in draft.nodes.items():
        _check_consumption(document, draft, name, node, dag)
        _check_attached_fields(document, name, node)
    _check_fallbacks(document, draft)
    _check_endpoints(document, draft)
    scopes = Scopes(draft, dag)
    check_inputs(document, draft, scopes)
    check_control(document, draft, scopes)
    check_addresses(document, draft, variables)
    answer_node = _answer_node(document, draft, dag)
    has_loops = any(isinstance(rule, RepeatRule) for _, rule in draft.flow.control)
    attached = _attached(draft, dag, {answer_node} if answer_node else set())
    _check_attached_names(document, attached, has_loops=has_loops)
    if document.problems or draft.head is None or dag is None or answer_node is None:
        return None
    control = tuple(rule for _, rule in draft.flow.control)
    spec = PipelineSpec(**draft.head.model_dump(), nodes=dict(draft.nodes), edges=draft.flow.plain, control=control)
    answers = make_control_plan(spec, dag).answers
    return Pipeline(spec, dag, answers[0], _attached(draft, dag, set(answers)))


def _graph(document: LocatedYaml, draft: Draft) -> Dag | None:
    try:
        return Dag(draft.flowing, draft.edges)
    except CycleError as exc:
        path = " >> ".join(exc.path)
        document.problem((MEGA_KEY, "mega_flow"), f"the flow has a cycle: {path}. Remove one of its edges.")
        return None


def _check_consumption(document: LocatedYaml, draft: Draft, name: str, node: NodeSpec, dag: Dag | None) -> None:
    if node.consume is ConsumeMode.WHOLE:
        return
    path = (NODES_KEY, name, "consume")
    if node.service_type not in PIECEWISE:
        kinds = ", ".join(sorted(PIECEWISE))
        document.problem(
            path, f"node '{name}': a {node.service_type} takes a text as a whole; only {kinds} can do more."
        )
    upstreams = list(dict.fromkeys(source for source, target in draft.edges if target == name))
    flows = dag is None or name in dag.nodes
    if flows and (len(upstreams) > 1 or (not upstreams and draft.flow_is_whole)):
        document.problem(path, f"node '{name}' takes a stream piece by piece, so it needs exactly one node before it.")
    for source in upstreams:
        kind = draft.nodes[source].service_type if source in draft.nodes else None
        if kind is not None and kind not in TEXT_PRODUCERS:
            message = f"node '{name}' takes a stream piece by piece, and '{source}' before it is a {kind}, which has no"
            document.problem(path, f"{message} text; write 'consume: whole'.")


def _check_fallbacks(document: LocatedYaml, draft: Draft) -> None:
    for name, other in draft.fallbacks.items():
        message = _fallback_problem(draft, name, other)
        if message:
            document.problem((NODES_KEY, name, "fallback"), message)


def _fallback_problem(draft: Draft, name: str, other: str) -> str | None:
    if other not in draft.declared:
        return f"node '{other}' is not in '{NODES_KEY}'.{nearest(other, draft.declared)}"
    if name in draft.fallback_chain(other):
        return f"node '{name}' falls back to itself; end the chain of fallbacks."
    if name not in draft.nodes or other not in draft.nodes:
        return None
    wanted, found = draft.nodes[name].service_type, draft.nodes[other].service_type
    return f"'{other}' is a {found}; a fallback must be a {wanted}." if found is not wanted else None


def _check_endpoints(document: LocatedYaml, draft: Draft) -> None:
    endpoints = draft.head.endpoints if draft.head else ()
    for index, path in enumerate(endpoints):
        if path in endpoints[:index]:
            document.problem((MEGA_KEY, "endpoints", index), f"endpoint {path} is there twice; keep one.")


def _answer_node(document: LocatedYaml, draft: Draft, dag: Dag | None) -> str | None:
    """Return the last text-producing node."""
    order = dag.order if dag else draft.flowing
    producers = [name for name in order if name in draft.nodes and draft.nodes[name].service_type in TEXT_PRODUCERS]
    if producers:
        return producers[-1]
    if draft.declared and draft.kinds_are_known:
        document.problem((NODES_KEY,), "no node produces the answer's text; a pipeline needs one of type 'llm'.")
    return None


def _check_attached_fields(document: LocatedYaml, name: str, node: NodeSpec) -> None:
    known = output_fields(node)
    fields = (node.attach and node.attach.fields) or ()
    for index, field in enumerate(fields):
        if known and field not in known:
            hint = nearest(field, known) or f" Its fields are {choice_of(known)}."
            path = (NODES_KEY, name, "attach", "fields", index)
            document.problem(path, f"the output of a {node.service_type} has no '{field}'.{hint}")


def _attached(draft: Draft, dag: Dag | None, answers: Collection[str]) -> dict[str, str]:
    """Return who is attached under which name: as `attach` says, and other leaves under their own names."""
    # What is not known to be a leaf, or not to be the answer, is left out; then there are problems anyway.
    leaves = dag.leaves if dag and draft.flow_is_whole and draft.kinds_are_known else ()
    names: dict[str, str] = {}
    for node in draft.flowing:
        spec = draft.nodes.get(node)
        if spec is None or "attach" in draft.wrong.get(node, ()):
            continue
        if spec.attach is not None:
            names[node] = spec.attach.name
        elif node in leaves and node not in answers:
            names[node] = node
    return names


def _check_attached_names(document: LocatedYaml, attached: Mapping[str, str], *, has_loops: bool) -> None:
    owners: dict[str, str] = {}
    for node, name in attached.items():
        path = (NODES_KEY, node, "attach", "as")
        if name in _ANSWER_FIELDS or (name == _ATTEMPTS and has_loops):
            document.problem(path, f"'{name}' is a field of the answer itself; choose another name.")
        elif name in owners:
            document.problem(path, f"nodes '{owners[name]}' and '{node}' are both attached as '{name}'.")
        owners[name] = node
