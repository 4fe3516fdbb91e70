"""Templates, expressions, deny lists and output mappings: what they give, and whom their errors name."""

from __future__ import annotations

from typing import Any

import jmespath
import pytest

from megaservice.pipeline.deny_list import DenyList, PatternError
from megaservice.pipeline.expressions import Expression, ExpressionSyntaxError
from megaservice.pipeline.output_mapping import OutputMapping
from megaservice.pipeline.templates import PromptTemplate, TemplateTextError
from servicekit.errors import InternalError

SCOPE: dict[str, Any] = {
    "request": {"text": "Hello {{ request }}", "items": [1, 2]},
    "grader": {"score": None, "feedback": "Wrong word.", "keys": "k"},
    "previous": None,
}

FILLED_IN = {
    "plain text": "plain text",
    "{{ request.text }}": "Hello {{ request }}",  # what a caller sends is no template
    "{{ grader.keys }}{{ request['items'][1] }}": "k2",  # a field before a method of dict
    "{% if previous %}{{ previous.llm.text }}{% else %}first{% endif %}": "first",
    "{{ llm.text if llm is defined else 'skipped' }}": "skipped",
    "<{{ grader.feedback }}>": "<Wrong word.>",
}


@pytest.mark.parametrize("text", FILLED_IN)
def test_template_is_filled_in(text: str) -> None:
    """Over the scope of input expressions; prompts are no HTML."""
    assert PromptTemplate(text, "node 'llm', 'prompt.user'").filled_in(SCOPE) == FILLED_IN[text]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ llm.text }}", "'llm' is undefined"),
        ("{{ grader.scor }}", "no attribute 'scor'"),
        ("{{ grader.score + 1 }}", "unsupported operand"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ request['items'].append(3) }}", "unsafe"),
        ("{{ request.text | int('x') / 0 }}", ""),
    ],
)
def test_template_that_cannot_be_filled_in_names_the_node_and_what_is_there(text: str, reason: str) -> None:
    """An error of the configuration: a 500 that says whose template it is."""
    template = PromptTemplate(text, "node 'llm', 'prompt.user'")
    with pytest.raises(InternalError) as caught:
        template.filled_in(SCOPE)
    assert caught.value.message.startswith("node 'llm', 'prompt.user': the template cannot be filled in: ")
    assert reason in caught.value.message
    assert "There are: request, grader, previous." in caught.value.message


def test_template_that_is_none_is_refused_with_its_line() -> None:
    """At the start, not in a request."""
    with pytest.raises(TemplateTextError, match="line 2 of the template"):
        PromptTemplate("fine\n{% if %}", "node 'llm'")


def test_template_tells_the_names_that_it_takes() -> None:
    """For the checks: only those of the scope."""
    template = PromptTemplate("{% for item in request.items %}{{ item }}{{ llm.text }}{% endfor %}", "node 'a'")
    assert template.names == ("llm", "request")
    assert PromptTemplate("plain", "node 'a'").is_plain


TRUTH = [
    ("grader.score", False),
    ("grader.nothing", False),
    ("`0`", True),  # as JMESPath has it
    ("`[]`", False),
    ("`{}`", False),
    ("''", False),
    ("request.text", True),
    ("grader.score >= `0.5`", False),
    ("request.items[?@ > `1`]", True),
]


@pytest.mark.parametrize(("text", "holds"), TRUTH)
def test_expression_holds_as_jmespath_says(text: str, holds: bool) -> None:
    """All but null, false and what is empty."""
    assert Expression(text, "node 'a', 'when'").holds(SCOPE) is holds


def test_expression_that_cannot_be_evaluated_names_its_owner_itself_and_the_remedy() -> None:
    """A value of a wrong type is found in a request: a 500."""
    with pytest.raises(InternalError) as caught:
        Expression("length(grader.score)", "node 'a', 'when'").value(SCOPE)
    message = caught.value.message
    assert message.startswith("node 'a', 'when': 'length(grader.score)' cannot be evaluated: ")
    assert "not_null(...)" in message


def test_comparison_of_a_text_with_a_number_is_such_an_error() -> None:
    """The library raises Python's own error for it."""
    with pytest.raises(InternalError, match="cannot be evaluated"):
        Expression("request.text > `1`", "node 'a', 'when'").holds(SCOPE)


@pytest.mark.parametrize(
    "text", ["request.text", "grader.score", "request.nothing.at.all", "request.text.deeper", "no"]
)
def test_plain_path_finds_what_jmespath_finds(text: str) -> None:
    """It is walked without the interpreter."""
    assert Expression(text, "node 'a'").value(SCOPE) == jmespath.search(text, SCOPE)


def test_expression_that_is_none_is_refused() -> None:
    """At the start."""
    with pytest.raises(ExpressionSyntaxError):
        Expression("a b", "node 'a'")


def test_expression_tells_its_names_and_the_functions_that_there_are_not() -> None:
    """For the checks."""
    expression = Expression("max_by([a.x, b], &score) || lower(@.c.d)", "node 'a'")
    assert expression.names == ("a", "b", "c")
    assert expression.unknown_functions == ("lower",)


@pytest.mark.parametrize("pattern", ["(", "(?=a)", r"(a)\1", "a*", ""])
def test_deny_list_refuses_what_is_no_expression_or_denies_everything(pattern: str) -> None:
    """RE2 has no look-arounds and back-references; an empty match would deny every sentence."""
    with pytest.raises(PatternError):
        DenyList([pattern])


def test_deny_list_takes_time_linear_in_the_text() -> None:
    """The classic that stops other engines; here it is over at once."""
    denied = DenyList(["(a+)+$", "(a|aa)+b"])
    assert denied.denies("a" * 100_000)
    assert not denied.denies("a" * 100_000 + "c")


def test_deny_list_replaces_everything_that_is_denied_as_it_stands() -> None:
    """Groups in the replacement mean nothing."""
    assert DenyList(["(?i)bad", r"\d+"]).replaced("Bad 12 bad", r"\1") == r"\1 \1 \1"


def test_output_mapping_gives_the_declared_fields_and_those_that_are_kept() -> None:
    """Without a mapping the output is the same object: nothing is copied."""
    output = {"text": "a", "result": {"label": "x"}, "other": 1}
    assert OutputMapping({}, "a").mapped(output) is output
    assert OutputMapping({"label": "result.label"}, "a").mapped(output, ("text",)) == {"text": "a", "label": "x"}
    with pytest.raises(InternalError, match=r"node 'a', 'outputs\.n'"):
        OutputMapping({"n": "abs(text)"}, "a").mapped(output)
