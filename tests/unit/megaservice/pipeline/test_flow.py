"""The grammar of `mega_flow`."""

from __future__ import annotations

import pytest

from megaservice.pipeline.flow import FlowSyntaxError, parse_flow_rule

_EDGES = [
    ("a", []),
    ("a >> b", [("a", "b")]),
    ("a>>b", [("a", "b")]),
    ("  a  >>  b  ", [("a", "b")]),
    ("a >> b >> c", [("a", "b"), ("b", "c")]),
    ("(a, b) >> c", [("a", "c"), ("b", "c")]),
    ("a >> (b, c)", [("a", "b"), ("a", "c")]),
    ("(a,b) >> c >> (d,e)", [("a", "c"), ("b", "c"), ("c", "d"), ("c", "e")]),
    ("(a) >> b", [("a", "b")]),
    ("(a, b) >> (c, d)", [("a", "c"), ("a", "d"), ("b", "c"), ("b", "d")]),
    ("tei-embedding.v1 >> opea/llm_2", [("tei-embedding.v1", "opea/llm_2")]),
]


@pytest.mark.parametrize(("rule", "edges"), _EDGES, ids=[rule for rule, _ in _EDGES])
def test_flow_rule_gives_each_node_of_a_group_to_each_of_the_next(rule: str, edges: list[tuple[str, str]]) -> None:
    """Every way to write a rule that OPEA's users know."""
    assert parse_flow_rule(rule).edges == edges


def test_flow_rule_names_each_node_once_in_order() -> None:
    """The names of a rule, for checks against the declared nodes."""
    assert parse_flow_rule("(b, a) >> c >> b").names == ["b", "a", "c"]


_BROKEN = [
    ("", "found nothing"),
    ("a >>", "found nothing"),
    (">> a", "found nothing"),
    ("a >> >> b", "found nothing"),
    ("(a, b >> c", "a parenthesis is not closed or not opened around '(a, b'"),
    ("a, b) >> c", "a parenthesis is not closed"),
    ("a, b >> c", "several nodes need parentheses: write '(a, b)'"),
    ("(a,) >> b", "found nothing"),
    ("() >> b", "found nothing"),
    ("a > b", "found 'a > b'"),
    ("a -> b", "found 'a -> b'"),
    ("a b >> c", "found 'a b'"),
    ("((a)) >> b", "found '(a)'"),
]


@pytest.mark.parametrize(("rule", "words"), _BROKEN, ids=[rule or "empty" for rule, _ in _BROKEN])
def test_flow_rule_that_breaks_the_grammar_says_what_was_found(rule: str, words: str) -> None:
    """The message quotes the rule, the place and a way to write it."""
    with pytest.raises(FlowSyntaxError) as caught:
        parse_flow_rule(rule)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"'{rule}': ")
