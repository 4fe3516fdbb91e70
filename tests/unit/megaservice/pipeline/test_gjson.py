"""Conditions of the connector as JMESPath, and back: the same requests match."""

from __future__ import annotations

from typing import Any

import jmespath
import pytest

from megaservice.pipeline.dialects.gjson import UntranslatableError, to_gjson, to_jmespath


@pytest.mark.parametrize(
    ("condition", "expression"),
    [
        ("model-id==large", "request.\"model-id\" == 'large'"),
        (' model == "large" ', "request.model == 'large'"),
        ("size==7", "to_string(request.size) == '7'"),
        ("a.b.0.c", "request.a.b[0].c != `null`"),
        (r"a\.b.c", 'request."a.b".c != `null`'),
        ("items.#", "length(request.items || `[]`) != `null`"),
        ('items.#(id=="1")', "(request.items[?id == '1'])[0] != `null`"),
        ('items.#(id=="1").name', "(request.items[?id == '1'])[0].name != `null`"),
        ("items.#(score>0.5)#", "request.items[?to_number(score) > `0.5`] != `null`"),
        ("items.#(>=2)", "(request.items[?to_number(@) >= `2`])[0] != `null`"),
        ('items.#(name%"D*")', "(request.items[?starts_with(to_string(name || ''), 'D')])[0] != `null`"),
        ('items.#(name!%"*x")', "(request.items[?!ends_with(to_string(name || ''), 'x')])[0] != `null`"),
        ("[@this].#(a.b<=2)", "to_number(request.a.b) <= `2`"),
        ("it==it's", r"request.it == 'it\'s'"),
    ],
)
def test_condition_becomes_jmespath(condition: str, expression: str) -> None:
    """Keys, indexes, queries and what is asked of the document itself."""
    assert to_jmespath(condition, "request") == expression
    jmespath.compile(expression)


@pytest.mark.parametrize(
    ("condition", "document", "holds"),
    [
        ("size==7", {"size": 7}, True),
        ("size==7", {"size": "7"}, True),
        ("size==7", {}, False),
        ('items.#(id=="1")', {"items": [{"id": "2"}, {"id": "1"}]}, True),
        ('items.#(id=="1")', {"items": []}, False),
        ('items.#(id=="1")', {}, False),
        ('items.#(name%"D*")', {"items": [{}, {"name": 3}, {"name": "Dee"}]}, True),
        ("[@this].#(a.b>2)", {"a": {"b": 3}}, True),
        ("[@this].#(a.b>2)", {"a": {"b": "3"}}, True),
        ("[@this].#(a.b>2)", {"a": {"b": ["x"]}}, False),
        ("[@this].#(a.b>2)", {}, False),
        ("it==it's", {"it": "it's"}, True),
    ],
)
def test_condition_holds_where_the_connectors_does(condition: str, document: dict[str, Any], holds: bool) -> None:
    """Also where what it asks for is not there, or of another type."""
    assert bool(jmespath.search(to_jmespath(condition, "request"), {"request": document})) is holds


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("a.@reverse", "'@reverse' is a modifier"),
        ("a.*", "'*' has a wildcard"),
        ("a|b.c", "'a|b' has a pipe"),
        ("{a,b}.c", "'{a,b}' is a multipath"),
        ("a.b==c", "compares a nested key outside of a query"),
        ("a.#(b", "a bracket or a quotation mark is not closed"),
        ('a.#(b>"x")', "orders texts"),
        ('a.#(b%"x*y")', "has a wildcard inside"),
        ("a..b", "a key is empty"),
    ],
)
def test_condition_that_jmespath_cannot_say_is_refused(condition: str, reason: str) -> None:
    """The message names the part."""
    with pytest.raises(UntranslatableError, match=r".") as caught:
        to_jmespath(condition, "request")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "condition",
    ["model-id==large", "size==7", "a.b.0.c", r"a\.b.c", '[@this].#(a.b=="x y")', "[@this].#(n>0.5)", "x"],
)
def test_condition_comes_back_as_it_was(condition: str) -> None:
    """What both can say is the same after the way there and back."""
    assert to_gjson(to_jmespath(condition, "request"), "request") == condition
    assert to_gjson(to_jmespath(condition, '"a-node"'), '"a-node"') == condition


@pytest.mark.parametrize(
    "expression",
    ["request.a && request.b", "length(request.a) > `1`", "node.a == 'x'", "request.a[-1] == 'x'", "request", "a.["],
)
def test_expression_that_the_connector_cannot_say_is_refused(expression: str) -> None:
    """Then it is named as lost."""
    with pytest.raises(UntranslatableError):
        to_gjson(expression, "request")
