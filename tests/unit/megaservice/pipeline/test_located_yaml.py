"""YAML that remembers where each value stands, with variables filled in."""

from __future__ import annotations

from typing import Any

import pytest

from megaservice.pipeline.located_yaml import load_yaml
from megaservice.pipeline.problems import PipelineError

VARIABLES = {"HOST": "example", "PORT": "9", "EMPTY": "", "FLAG": "true", "TRICKY": "a: [b"}

_VALUES: list[tuple[str, Any]] = [
    ("${HOST}", "example"),
    ("http://${HOST}:${PORT}/v1", "http://example:9/v1"),
    ("${PORT}", 9),
    ('"${PORT}"', "9"),
    ("${FLAG}", True),
    ("'${FLAG}'", "true"),
    ("${NONE:-8000}", 8000),
    ("${NONE:-0.5}", 0.5),
    ("${NONE:-}", None),
    ("${EMPTY:-full}", "full"),
    ("${HOST:-other}", "example"),
    ("${NONE:-http://127.0.0.1:9002}", "http://127.0.0.1:9002"),
    ("${TRICKY}", "a: [b"),
    ("$HOST", "$HOST"),
    ("costs $5", "costs $5"),
    ("007", 7),
    ("text", "text"),
    ("~", None),
    ('[1, "${PORT}"]', [1, "9"]),
    ("${lower:-x}${HOST}", "xexample"),
]


@pytest.mark.parametrize(("text", "value"), _VALUES, ids=[text for text, _ in _VALUES])
def test_yaml_value_has_the_type_it_would_have_if_it_stood_there(text: str, value: object) -> None:
    """Variables are filled in before the type is decided; quotes keep text; a value cannot add structure."""
    assert load_yaml(f"key: {text}", "p.yaml", VARIABLES).data == {"key": value}


def test_yaml_unset_variable_is_a_problem_at_its_value() -> None:
    """A variable without a value or a default is named, with a way to give it one."""
    document = load_yaml("a: 1\nnodes:\n  llm: ${MISSING}\n", "p.yaml", {})
    (problem,) = document.problems
    assert str(problem) == ("p.yaml:3:3: the variable MISSING is not set; set it, or write ${MISSING:-default}.")


def test_yaml_repeated_key_is_a_problem_at_the_second_one() -> None:
    """YAML would silently keep the last one."""
    document = load_yaml("a:\n  b: 1\n  c: 2\n  b: 3\n", "p.yaml", {})
    assert [str(problem) for problem in document.problems] == ["p.yaml:4:3: the key 'b' is there twice; keep one."]


def test_yaml_that_is_none_is_refused_with_its_place() -> None:
    """What cannot be parsed at all has line and column."""
    with pytest.raises(PipelineError) as caught:
        load_yaml("a: [1, 2\nb: 3\n", "p.yaml", {})
    assert caught.value.problems[0].startswith("p.yaml:2:")
    assert "not valid YAML" in caught.value.problems[0]


def test_yaml_with_a_character_that_cannot_be_in_it_is_one_problem_with_its_place() -> None:
    """A control character that an editor does not show."""
    with pytest.raises(PipelineError) as caught:
        load_yaml("a: b\nc: \x07x", "p.yaml", {})
    (problem,) = caught.value.problems
    assert problem == "p.yaml:2:4: not valid YAML: the character '\\x07' cannot stand here; remove it."


def test_yaml_problem_at_a_missing_key_is_placed_at_what_surrounds_it() -> None:
    """A key that is not there has no place; the mapping that lacks it has."""
    document = load_yaml("nodes:\n  llm:\n    model: x\n", "p.yaml", {})
    document.problem(("nodes", "llm", "endpoint"), "'endpoint' is missing.")
    document.problem(("elsewhere",), "gone.")
    assert [(problem.line, problem.column) for problem in document.problems] == [(2, 3), (1, 1)]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_yaml_empty_document_is_no_data(text: str) -> None:
    """An empty file is not an error of YAML; the dialect says what is missing."""
    assert load_yaml(text, "p.yaml", {}).data in (None, "")


_UNUSABLE = [
    ("a: !!python/name:os.system x", "'x' is no value that can stand here: could not determine a constructor"),
    ("a: !secret x", "'x' is no value that can stand here: could not determine a constructor"),
    ("a: 2026-13-45", "'2026-13-45' is no value that can stand here: month must be in 1..12"),
    ("b: &b {c: 1}\na: {<<: *b}", "a key must be plain text; write the values of '<<' out."),
    ("? [x, y]\n: 1", "a key must be plain text"),
    ("a: !!timestamp x", "'x' is no value that can stand here: it does not fit tag:yaml.org,2002:timestamp."),
    ("a: !!bool x", "'x' is no value that can stand here: it does not fit tag:yaml.org,2002:bool."),
    ("a: &x [*x]", "a value cannot contain itself"),
]


@pytest.mark.parametrize(
    ("text", "words"), _UNUSABLE, ids=["python", "tag", "date", "merge", "list-as-key", "no-date", "no-bool", "endless"]
)
def test_yaml_that_means_nothing_here_is_a_problem_with_its_place(text: str, words: str) -> None:
    """Tags that would run code, impossible dates and keys that are no text are reported, not obeyed."""
    (problem,) = load_yaml(text, "p.yaml", {}).problems
    assert words in problem.message


def test_yaml_anchors_stand_for_their_values() -> None:
    """An alias is the value that its anchor marks."""
    assert load_yaml("a: &x {b: 1}\nc: *x\n", "p.yaml", {}).data == {"a": {"b": 1}, "c": {"b": 1}}
