"""What can be decided without a model: empty, too long, out of domain, untranslated.

A rule decides only what is as good as certain. What a right translation may leave as it is goes to the model, such
as "Ciao", "OK", "pizza", "Marco Polo" or "42". Two words in lower case count as untranslated ("good morning" is
echoed far more often than "hot dog" is translated).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

from microservices.grader.schemas import OUT_OF_DOMAIN, TOO_LONG, Grade, GradeRequest, ungraded
from servicekit.model_profile import OutOfDomain

#: The criteria that a grade is about when the request names none.
DEFAULT_CRITERIA = ("accuracy", "fluency", "completeness")

_WORD = re.compile(r"[^\W_]+")
#: "translation" in the languages that rubrics are written in here: English, Italian, French, Spanish, German.
_TRANSLATION = re.compile(r"translat|tradu|übersetz", re.IGNORECASE)
#: A short text of capitalised words only is taken for a name.
_MAX_NAME_WORDS = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """How long texts may be, in characters; longer ones are not judged at all."""

    source_chars: int
    candidate_chars: int


def examine(request: GradeRequest, limits: Limits, out_of_domain: OutOfDomain | None) -> Grade | None:
    """Return the grade where a rule decides it, None where the model must judge."""
    if not request.candidate.strip():
        return Grade(0.0, "The candidate is empty: there is nothing that could be right.")
    reason = too_long(request, limits)
    if reason is not None:
        return ungraded(TOO_LONG, reason)
    if out_of_domain is not None and is_refusal(request.candidate, out_of_domain):
        return ungraded(OUT_OF_DOMAIN, out_of_domain.message)
    if is_about_translation(request.criteria_list) and is_untranslated(request.source, request.candidate):
        return Grade(0.0, "The candidate is untranslated: it only repeats the source.")
    return None


def too_long(request: GradeRequest, limits: Limits) -> str | None:
    """Say which text is longer than the model can judge, None if none is."""
    lengths = (
        ("source", len(request.source), limits.source_chars),
        ("candidate", len(request.candidate), limits.candidate_chars),
        ("reference", len(request.reference or ""), limits.candidate_chars),
    )
    for name, found, allowed in lengths:
        if found > allowed:
            return f"Not graded: the {name} has {found} characters, this grader judges at most {allowed}."
    return None


def is_refusal(candidate: str, out_of_domain: OutOfDomain) -> bool:
    """Whether the candidate is the model's own way to say that it does not know."""
    text = candidate.strip()
    return text.startswith(out_of_domain.marker) or _words(text) == _words(out_of_domain.message)


def is_about_translation(criteria: list[str]) -> bool:
    """Whether the grade is about a translation: no criteria, the default ones, or such that speak of it."""
    own = [item for item in criteria if item.strip().casefold() not in DEFAULT_CRITERIA]
    return not own or any(_TRANSLATION.search(item) for item in own)


def is_untranslated(source: str, candidate: str) -> bool:
    """Whether the candidate is the source itself, or most of it and no other word.

    Case, punctuation and white space do not count. Sources that may stay as they are never match.
    """
    if _may_stay(source):
        return False
    source_words, candidate_words = _words(source), _words(candidate)
    if source_words == candidate_words:
        return True
    adds_nothing = not Counter(candidate_words) - Counter(source_words)
    return adds_nothing and len(candidate_words) * 2 > len(source_words) and not _may_stay(candidate)


def _may_stay(text: str) -> bool:
    """Whether a text may be right in another language unchanged: no letters, one word, or a name."""
    words = [word for word in _WORD.findall(text) if any(character.isalpha() for character in word)]
    return len(words) <= 1 or (len(words) <= _MAX_NAME_WORDS and all(word[0].isupper() for word in words))


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
