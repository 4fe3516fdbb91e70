"""The rules that grade without a model."""

from __future__ import annotations

import pytest

from microservices.grader.evidence import Limits, examine, is_about_translation, is_untranslated
from microservices.grader.schemas import GradeRequest
from servicekit.model_profile import OutOfDomain

LIMITS = Limits(source_chars=40, candidate_chars=60)
OUTSIDE = OutOfDomain(marker="<|outside|>", code="out_of_domain", message="This is outside my book; get a model.")


def _request(source: str, candidate: str, **more: str) -> GradeRequest:
    return GradeRequest(source=source, candidate=candidate, **more)


@pytest.mark.parametrize("candidate", ["", " ", "\n\t ", "\u00a0"])
def test_examine_scores_zero_for_an_empty_candidate(candidate: str) -> None:
    """An empty or blank candidate is 0.0 and the feedback says so."""
    grade = examine(_request("Hello, how are you?", candidate), LIMITS, None)
    assert grade is not None
    assert grade.score == 0.0
    assert "empty" in grade.feedback


@pytest.mark.parametrize(
    "candidate",
    ["Hello, how are you?", "hello how are you", "  HELLO,   how are you?! ", "Hello, how are", "how are you hello"],
)
def test_examine_scores_zero_for_an_untranslated_candidate(candidate: str) -> None:
    """The source again, or most of it and nothing else, is 0.0: case, punctuation and space do not count."""
    grade = examine(_request("Hello, how are you?", candidate), LIMITS, None)
    assert grade is not None
    assert grade.score == 0.0
    assert "untranslated" in grade.feedback


@pytest.mark.parametrize(
    ("source", "candidate"),
    [
        ("Ciao", "Ciao"),
        ("OK", "ok"),
        ("pizza", "pizza"),
        ("Marco Polo", "Marco Polo"),
        ("New York", "New York"),
        ("42", "42"),
        ("3.14 + 2", "3.14 + 2"),
        ("?!", "?!"),
        ("Marco Polo and Anna", "Marco Polo e Anna"),
        ("I like pizza", "pizza"),
        ("Hello, how are you?", "Ciao, come stai?"),
        ("The train is late", "Il train is late"),
    ],
)
def test_examine_leaves_to_the_model_what_may_be_right(source: str, candidate: str) -> None:
    """Names, numbers, single words and every candidate with a word of its own are not decided by rule."""
    assert examine(_request(source, candidate), LIMITS, None) is None


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"source": "a" * 41, "candidate": "b"}, "source has 41 characters"),
        ({"source": "a", "candidate": "b" * 61}, "candidate has 61 characters"),
        ({"source": "a", "candidate": "b", "reference": "c" * 61}, "reference has 61 characters"),
    ],
)
def test_examine_gives_no_score_for_an_oversized_text(fields: dict[str, str], named: str) -> None:
    """What is too long is not judged at all, which is not zero."""
    grade = examine(GradeRequest(**fields), LIMITS, None)
    assert grade is not None
    assert (grade.score, grade.error_code) == (None, "too_long")
    assert named in grade.feedback


@pytest.mark.parametrize(
    "candidate",
    [OUTSIDE.message, f" {OUTSIDE.message}\n", "this is outside my book, get a model", "<|outside|>whatever"],
)
def test_examine_gives_no_score_where_the_model_refused(candidate: str) -> None:
    """A candidate that is the model's out-of-domain message was no attempt; the reason is the feedback."""
    grade = examine(_request("What is the answer?", candidate), LIMITS, OUTSIDE)
    assert grade is not None
    assert (grade.score, grade.error_code, grade.feedback) == (None, "out_of_domain", OUTSIDE.message)


def test_examine_leaves_the_refusal_of_another_model_to_the_judge() -> None:
    """Without a profile no sentence is special."""
    assert examine(_request("What is the answer?", OUTSIDE.message), LIMITS, None) is None


@pytest.mark.parametrize("criteria", ["politeness", ["politeness", "humour"]])
def test_examine_does_not_call_an_echo_untranslated_under_other_criteria(criteria: str | list[str]) -> None:
    """The untranslated rule is about translations only."""
    request = GradeRequest(source="Hello, how are you?", candidate="Hello, how are you?", criteria=criteria)
    assert examine(request, LIMITS, None) is None


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ([], True),
        (["accuracy", "Fluency"], True),
        (["a faithful translation"], True),
        (["buona traduzione"], True),
        (["accuracy", "the joke is funny"], False),
    ],
)
def test_is_about_translation_reads_the_criteria(criteria: list[str], expected: bool) -> None:
    """Default criteria and such that speak of translation are about one."""
    assert is_about_translation(criteria) is expected


def test_is_untranslated_compares_compatible_characters_as_equal() -> None:
    """Full-width letters and ligatures are the same text."""
    assert is_untranslated("where is the office", "\uff37here is the o\ufb03ce")
