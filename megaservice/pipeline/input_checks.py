"""Checks of what a node gets: the fields that its kind knows, and expressions over what is there when it starts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions

from megaservice.pipeline.dag import Dag
from megaservice.pipeline.dialects.opea import NODES_KEY
from megaservice.pipeline.draft import Draft
from megaservice.pipeline.located_yaml import LocatedYaml
from megaservice.pipeline.spec import INPUT_FIELDS
from megaservice.pipeline.wording import choice_of
from servicekit.nearest import nearest

#: The name of the caller's body in an expression.
_REQUEST = "request"
#: Expressions whose first child sees the scope, and the others what the first one found.
_CHAINS = frozenset({"projection", "value_projection", "filter_projection", "index_expression", "flatten"})
#: Expressions whose value is what they are given.
_SELF = frozenset({"current", "identity"})
#: Expressions that see no scope: literals, places in a list, and `&x`, which sees the items of a list.
_BLIND = frozenset({"literal", "index", "slice", "expref", *_SELF})


def check_inputs(document: LocatedYaml, draft: Draft, dag: Dag | None) -> None:
    """Check the inputs of every node.

    Args:
        document: Gets the problems.
        draft: What could be read.
        dag: The graph of its edges, None if they have a cycle.
    """
    for name, node in draft.nodes.items():
        fields = INPUT_FIELDS.get(node.service_type)
        before = _before(draft, dag, name)
        for field, expression in node.inputs.items():
            path = (NODES_KEY, name, "inputs", field)
            if fields and field not in fields:
                hint = nearest(field, fields) or f" Its fields are {choice_of(fields)}."
                document.problem(path, f"a {node.service_type} takes no '{field}'.{hint}")
            for message in _expression_problems(expression, name, draft.declared, before):
                document.problem(path, f"node '{name}': {message}")


def _before(draft: Draft, dag: Dag | None, name: str) -> frozenset[str] | None:
    """Return the nodes that have ended when this one starts; None if that cannot be told."""
    if dag is None or not draft.flow_is_whole:
        return None
    if name in dag.nodes:
        return dag.ancestors(name)
    # A node that only stands in for others is there when they are.
    replaced = [node for node in dag.nodes if name in draft.fallback_chain(node)]
    return frozenset().union(*(dag.ancestors(node) for node in replaced))


def _expression_problems(
    expression: str, name: str, declared: tuple[str, ...], before: frozenset[str] | None
) -> Iterator[str]:
    try:
        tree: dict[str, Any] = dict(jmespath.compile(expression).parsed)
    except JMESPathError as exc:
        reason = str(exc).splitlines()[0].rstrip(":.").removesuffix(", for expression")
        yield f"'{expression}' is not a JMESPath expression: {reason}.{_quotes(expression, declared)}"
        return
    for function in dict.fromkeys(_functions(tree)):
        if function not in Functions.FUNCTION_TABLE:
            yield f"'{function}' is no function of JMESPath.{nearest(function, Functions.FUNCTION_TABLE)}"
    for first in dict.fromkeys(_first_names(tree)):
        if first == _REQUEST or first in (declared if before is None else before):
            continue
        yield _unseen(expression, first, name, declared)


def _unseen(expression: str, first: str, name: str, declared: tuple[str, ...]) -> str:
    if first == name:
        return f"'{expression}' asks for the node's own output; take '{_REQUEST}' or a node before this one."
    if first in declared:
        remedy = f"let the flow lead from '{first}' to '{name}', or take another"
        return f"'{expression}' asks for the output of '{first}', which is not before this node; {remedy}."
    hint = nearest(first, (_REQUEST, *declared)) or f" The names are {choice_of((_REQUEST, *declared))}."
    return f"'{expression}' begins with '{first}', which is neither '{_REQUEST}' nor a node before this one.{hint}"


def _quotes(expression: str, declared: Iterable[str]) -> str:
    """Return what to write if the expression has a node's name that JMESPath cannot read as it is."""
    odd = [name for name in declared if not name.isidentifier() and name in expression]
    return f" Write the node's name in quotes: '\"{odd[0]}\".text'." if odd else ""


def _first_names(tree: dict[str, Any]) -> Iterator[str]:
    """Yield the names that an expression looks up in the scope itself, as `llm` in `llm.usage`."""
    kind, children = tree["type"], tree["children"]
    if kind == "field":
        yield tree["value"]
    elif kind in ("subexpression", "pipe"):
        # `@.llm` begins with `llm`.
        yield from _first_names(next((child for child in children if child["type"] not in _SELF), children[0]))
    elif kind in _CHAINS:
        yield from _first_names(children[0])
    elif kind not in _BLIND:
        for child in children:
            yield from _first_names(child)


def _functions(tree: dict[str, Any]) -> Iterator[str]:
    if tree["type"] == "function_expression":
        yield tree["value"]
    for child in tree["children"]:
        if isinstance(child, dict):  # a slice's children are numbers
            yield from _functions(child)
