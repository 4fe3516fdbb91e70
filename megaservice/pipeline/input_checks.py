"""Checks of what a node gets and gives: the fields that its kind knows, expressions, templates and patterns."""

from __future__ import annotations

from collections.abc import Iterator

from megaservice.pipeline.deny_list import PatternError, compiled_pattern
from megaservice.pipeline.draft import Draft
from megaservice.pipeline.located_yaml import LocatedYaml, Path
from megaservice.pipeline.name_checks import expression_problems, template_problems
from megaservice.pipeline.parameter_checks import parameter_problems
from megaservice.pipeline.scopes import Scope, Scopes
from megaservice.pipeline.spec import INPUT_FIELDS, OUTPUT_FIELDS, NodeSpec, ServiceKind
from megaservice.pipeline.wording import choice_of
from servicekit.nearest import nearest

_NODES = "opea_micro_services"
_TEMPLATE_MARKS = ("{{", "{%", "{#")


def check_inputs(document: LocatedYaml, draft: Draft, scopes: Scopes) -> None:
    """Check the inputs and outputs of every node.

    Args:
        document: Gets the problems.
        draft: What could be read.
        scopes: What expressions see.
    """
    for name, node in draft.nodes.items():
        for place, message in _problems(name, node, draft, scopes.of_node(name)):
            document.problem((_NODES, name, *place), message)


def _problems(name: str, node: NodeSpec, draft: Draft, scope: Scope) -> Iterator[tuple[Path, str]]:
    known = INPUT_FIELDS.get(node.service_type)
    for field, expression in node.inputs.items():
        if known and field not in known:
            hint = nearest(field, known) or f" Its fields are {choice_of(known)}."
            yield ("inputs", field), f"a {node.service_type} takes no '{field}'.{hint}"
        yield from _of_expression(("inputs", field), expression, scope, draft)
    if node.when is not None:
        yield from _of_expression(("when",), node.when, scope, draft)
    for key, template in (("system", node.prompt.system), ("user", node.prompt.user)):
        if template is not None and any(mark in template for mark in _TEMPLATE_MARKS):
            for message in template_problems(template, scope, draft):
                yield ("prompt", key), f"node '{name}': {message}"
    yield from _of_outputs(name, node, draft)
    yield from parameter_problems(name, node)
    for index, pattern in enumerate(node.deny):
        try:
            compiled_pattern(pattern)
        except PatternError as exc:
            yield ("deny", index), f"node '{name}': {exc}"


def _of_outputs(name: str, node: NodeSpec, draft: Draft) -> Iterator[tuple[Path, str]]:
    whole = Scope(f"node '{name}'", nodes=frozenset(), extra=OUTPUT_FIELDS.get(node.service_type, ()), request=False)
    for field, expression in node.outputs.items():
        for message in expression_problems(expression, whole, draft):
            # What is known of a kind's output is all there is of it; of the others nothing is known.
            if whole.extra or "begins with" not in message:
                yield ("outputs", field), f"node '{name}': {message}"
    if node.best is not None and node.service_type is ServiceKind.SELECT:
        yield from _of_expression(("best",), node.best, Scope(f"node '{name}'", extra=("candidates",)), draft)


def _of_expression(place: Path, expression: str, scope: Scope, draft: Draft) -> Iterator[tuple[Path, str]]:
    for message in expression_problems(expression, scope, draft):
        yield place, f"{scope.asker}: {message}"
