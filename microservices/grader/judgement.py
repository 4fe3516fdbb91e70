"""What a model's answer is worth: parsed strictly, never clamped, never guessed."""

from __future__ import annotations

from typing import Any

import orjson

from microservices.grader.schemas import OUT_OF_DOMAIN, Grade, ungraded
from servicekit.model_profile import OutOfDomain

_SHOWN_CHARS = 120


class UnusableJudgementError(Exception):
    """The model's answer is no judgement; the message says why, for the model's second try and for the caller."""


def parse_judgement(text: str, out_of_domain: OutOfDomain | None) -> Grade:
    """Turn a model's answer into a grade.

    Args:
        text: The answer as it came.
        out_of_domain: How this model says that it cannot judge a text, if it has a way.

    Returns:
        The grade; without a score where the model says that it cannot judge.

    Raises:
        UnusableJudgementError: Not one JSON object with a finite score in 0..1 (or null) and a feedback.
    """
    if out_of_domain is not None and text.lstrip().startswith(out_of_domain.marker):
        return ungraded(OUT_OF_DOMAIN, out_of_domain.message)
    document = _json_object(text)
    score, feedback = _score(document), _feedback(document)
    if score is None:
        return ungraded(OUT_OF_DOMAIN, feedback)
    return Grade(score, feedback)


def _json_object(text: str) -> dict[str, Any]:
    try:
        document = orjson.loads(text)  # takes neither NaN nor Infinity
    except orjson.JSONDecodeError as exc:
        raise UnusableJudgementError(f"it is not valid JSON ({exc.msg}), found {_shown(text)}.") from exc
    if not isinstance(document, dict):
        raise UnusableJudgementError(f"it is no JSON object, found {_shown(text)}.")
    return document


def _score(document: dict[str, Any]) -> float | None:
    if "score" not in document:
        raise UnusableJudgementError('"score" is missing.')
    score = document["score"]
    if score is None:
        return None
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise UnusableJudgementError(f'"score" must be a number or null, found {_shown(repr(score))}.')
    if not 0 <= score <= 1:
        raise UnusableJudgementError(f'"score" must be between 0 and 1, found {score}.')
    return float(score)


def _feedback(document: dict[str, Any]) -> str:
    feedback = document.get("feedback")
    if not isinstance(feedback, str) or not feedback.strip():
        raise UnusableJudgementError('"feedback" must be a text that is not empty.')
    return feedback.strip()


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "...")
