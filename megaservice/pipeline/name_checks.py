"""Checks of what expressions and templates name: what is there when they are looked at, and what it has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import jmespath
from jinja2 import Environment, meta, nodes
from jmespath.functions import Functions

from megaservice.pipeline.control import ATTEMPT, PREVIOUS, REQUEST
from megaservice.pipeline.draft import Draft
from megaservice.pipeline.expressions import Expression, ExpressionSyntaxError
from megaservice.pipeline.scopes import Scope
from megaservice.pipeline.spec import NodeSpec, ServiceKind, output_fields
from megaservice.pipeline.templates import PromptTemplate, TemplateTextError
from megaservice.pipeline.wording import choice_of
from servicekit.nearest import nearest

#: Expressions whose first child sees the scope, and the others what the first one found.
_CHAINS = frozenset({"projection", "value_projection", "filter_projection", "index_expression", "flatten"})
#: Expressions whose value is what they are given.
_SELF = frozenset({"current", "identity"})
#: Expressions that see no scope: literals, places in a list, and `&x`, which sees the items of a list.
_BLIND = frozenset({"literal", "index", "slice", "expref", *_SELF})
#: What an LLM's answer has, in OpenAI's words, besides its text; a service may say more.
_LLM_FIELDS = ("text", "id", "object", "created", "model", "choices", "usage", "error", "notice")
#: How like a known field an unknown one must be to be a slip.
_SLIP = 0.8

#: A name that is looked up in the scope itself, and the field that is taken of it.
_Lookup = tuple[str, str | None]


def expression_problems(expression: str, scope: Scope, draft: Draft) -> Iterator[str]:
    """Yield what is wrong with a JMESPath expression.

    Args:
        expression: As written in the file.
        scope: What it sees.
        draft: The nodes that there are.
    """
    try:
        compiled = Expression(expression, scope.asker)
    except ExpressionSyntaxError as exc:
        quotes = _quotes(expression, draft.declared)
        yield f"'{expression}' is not a JMESPath expression: {exc}{_column(exc)}.{quotes}"
        return
    for function in compiled.unknown_functions:
        yield f"'{function}' is no function of JMESPath.{nearest(function, Functions.FUNCTION_TABLE)}"
    tree: dict[str, Any] = dict(jmespath.compile(expression).parsed)
    yield from _lookup_problems(expression, _lookups(tree), scope, draft)


def template_problems(template: str, scope: Scope, draft: Draft) -> Iterator[str]:
    """Yield what is wrong with a Jinja2 template.

    Args:
        template: As written in the file.
        scope: What it sees.
        draft: The nodes that there are.
    """
    try:
        PromptTemplate(template, scope.asker)
    except TemplateTextError as exc:
        yield f"the template is not Jinja2: {exc}."
        return
    tree = Environment(autoescape=True).parse(template)  # only looked at, never filled in
    free = meta.find_undeclared_variables(tree)
    yield from _lookup_problems(template.strip(), _template_lookups(tree, free), scope, draft)


def _lookup_problems(text: str, lookups: Iterable[_Lookup], scope: Scope, draft: Draft) -> Iterator[str]:
    shown = text if len(text) <= 80 else f"{text[:77]}..."
    for name, field in dict.fromkeys(lookups):
        if name in scope.fixed:
            problem = _previous_problem(field, scope) if name == PREVIOUS else None
        elif name in (draft.declared if scope.nodes is None else scope.nodes):
            problem = _field_problem(name, field, draft.nodes.get(name))
        else:
            problem = _unseen(name, scope, draft.declared)
        if problem:
            yield f"'{shown}' {problem}"


def _unseen(name: str, scope: Scope, declared: tuple[str, ...]) -> str:
    if name in (PREVIOUS, ATTEMPT):
        return f"asks for '{name}', which is there in loops only; put the node into a 'repeat', or take another."
    if name and name == scope.own:
        return f"asks for the node's own output; take '{REQUEST}' or a node before this one."
    if name in declared:
        remedy = f"let the flow lead from '{name}' to '{scope.own}', or take another" if scope.own else "take another"
        return f"asks for the output of '{name}', which is not before this {_what(scope)}; {remedy}."
    names = (*scope.fixed, *(declared if scope.nodes is None or scope.own else sorted(scope.nodes)))
    hint = nearest(name, names) or (f" The names are {choice_of(names)}." if names else "")
    if not scope.request:
        return f"begins with '{name}', which the output does not have.{hint}"
    other = f"neither {choice_of(scope.fixed)} nor" if scope.fixed else "not"
    return f"begins with '{name}', which is {other} a node before this {'one' if scope.own else 'rule'}.{hint}"


def _what(scope: Scope) -> str:
    return "node" if scope.own else "rule"


def _field_problem(name: str, field: str | None, node: NodeSpec | None) -> str | None:
    """Return what is wrong with a field that the node's output cannot have."""
    if field is None or node is None:
        return None
    known = output_fields(node)
    if known is None:
        # A service may say more than is known of it, so only what is nearly right is wrong.
        close = get_close_matches(field, _LLM_FIELDS, n=1, cutoff=_SLIP) if node.service_type is ServiceKind.LLM else []
        wrong = close and field not in _LLM_FIELDS
        return f"asks for '{field}' of '{name}', which no LLM answers. Did you mean '{close[0]}'?" if wrong else None
    if field in known:
        return None
    hint = nearest(field, known) or f" It has {choice_of(known)}."
    return f"asks for '{field}' of '{name}', which has no such field.{hint}"


def _previous_problem(field: str | None, scope: Scope) -> str | None:
    if field is None or scope.loop is None or field in scope.loop:
        return None
    hint = nearest(field, scope.loop) or f" It has {choice_of(sorted(scope.loop))}."
    return f"asks for '{field}' of the attempt before, which is no node of the loop.{hint}"


def _quotes(expression: str, declared: Iterable[str]) -> str:
    """Return what to write if the expression has a node's name that JMESPath cannot read as it is."""
    odd = [name for name in declared if not name.isidentifier() and name in expression]
    return f" Write the node's name in quotes: '\"{odd[0]}\".text'." if odd else ""


def _column(exc: ExpressionSyntaxError) -> str:
    """Return where a text cannot be read, if the message does not say it."""
    place = getattr(exc.__cause__, "lexer_position", None)
    return "" if place is None or "column" in str(exc) else f" at column {place}"


def _lookups(tree: Mapping[str, Any]) -> Iterator[_Lookup]:
    """Yield the names that an expression looks up in the scope itself, as `llm` in `llm.usage`, and their fields."""
    kind, children = tree["type"], tree["children"]
    if kind == "field":
        yield tree["value"], None
    elif kind in ("subexpression", "pipe"):
        yield from _chain(children)
    elif kind in _CHAINS:
        yield from _lookups(children[0])
    elif kind not in _BLIND:
        for child in children:
            yield from _lookups(child)


def _chain(children: list[dict[str, Any]]) -> Iterator[_Lookup]:
    # `@.llm` begins with `llm`.
    first, *rest = [child for child in children if child["type"] not in _SELF] or children
    if first["type"] == "field":
        yield first["value"], rest[0]["value"] if rest and rest[0]["type"] == "field" else None
    else:
        yield from _lookups(first)


def _template_lookups(tree: nodes.Template, free: set[str]) -> Iterator[_Lookup]:
    """Yield the names that a template takes from the scope, and their fields."""
    with_field: set[int] = set()
    for access in tree.find_all(nodes.Getattr):
        if isinstance(access.node, nodes.Name) and access.node.name in free:
            with_field.add(id(access.node))
            yield access.node.name, access.attr
    for name in tree.find_all(nodes.Name):
        if name.ctx == "load" and name.name in free and id(name) not in with_field:
            yield name.name, None
