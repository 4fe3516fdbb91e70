"""What a model's answer is worth."""

from __future__ import annotations

import pytest

from microservices.grader.judgement import UnusableJudgementError, parse_judgement
from servicekit.model_profile import OutOfDomain

OUTSIDE = OutOfDomain(marker="<|outside|>", code="out_of_domain", message="This is outside my book.")


@pytest.mark.parametrize(("text", "score"), [("0", 0.0), ("1", 1.0), ("0.85", 0.85), ("1e-1", 0.1)])
def test_parse_judgement_takes_a_score_between_zero_and_one(text: str, score: float) -> None:
    """A finite number in 0..1 is the score as it is."""
    grade = parse_judgement(f'{{"score": {text}, "feedback": " Good. "}}', None)
    assert (grade.score, grade.feedback, grade.error_code) == (score, "Good.", None)
    assert isinstance(grade.score, float)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("", "not valid JSON"),
        ("Score: 0.9", "not valid JSON"),
        ('```json\n{"score": 0.9, "feedback": "Good."}\n```', "not valid JSON"),
        ('{"score": 0.9, "feedback": "Go', "not valid JSON"),
        ('{"score": NaN, "feedback": "Good."}', "not valid JSON"),
        ('{"score": Infinity, "feedback": "Good."}', "not valid JSON"),
        ("[0.9]", "no JSON object"),
        ("0.9", "no JSON object"),
        ('{"feedback": "Good."}', '"score" is missing'),
        ('{"score": "0.9", "feedback": "Good."}', '"score" must be a number'),
        ('{"score": true, "feedback": "Good."}', '"score" must be a number'),
        ('{"score": 1.01, "feedback": "Good."}', "between 0 and 1, found 1.01"),
        ('{"score": -0.1, "feedback": "Good."}', "between 0 and 1, found -0.1"),
        ('{"score": 85, "feedback": "Good."}', "between 0 and 1, found 85"),
        ('{"score": 0.9}', '"feedback" must be a text'),
        ('{"score": 0.9, "feedback": "  "}', '"feedback" must be a text'),
        ('{"score": 0.9, "feedback": 3}', '"feedback" must be a text'),
        ('{"score": null, "feedback": ""}', '"feedback" must be a text'),
    ],
)
def test_parse_judgement_refuses_what_is_not_one(answer: str, problem: str) -> None:
    """Nothing is clamped, repaired or guessed; the error says what was wrong."""
    with pytest.raises(UnusableJudgementError) as caught:
        parse_judgement(answer, None)
    assert problem in str(caught.value)


def test_parse_judgement_gives_no_score_where_the_model_says_null() -> None:
    """A model may say that it cannot judge; its feedback is the reason."""
    grade = parse_judgement('{"score": null, "feedback": "I do not know this."}', None)
    assert (grade.score, grade.error_code, grade.feedback) == (None, "out_of_domain", "I do not know this.")


def test_parse_judgement_gives_no_score_for_the_model_s_marker() -> None:
    """The marker of a model's profile means that the text is outside its domain."""
    grade = parse_judgement("<|outside|>This is outside my book.", OUTSIDE)
    assert (grade.score, grade.error_code, grade.feedback) == (None, "out_of_domain", OUTSIDE.message)


def test_parse_judgement_shows_only_the_beginning_of_a_long_answer() -> None:
    """The reason stays readable."""
    with pytest.raises(UnusableJudgementError) as caught:
        parse_judgement("x" * 10_000, None)
    assert len(str(caught.value)) < 300
