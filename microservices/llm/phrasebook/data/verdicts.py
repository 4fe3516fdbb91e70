"""How a grade is written, and its parts that are one token each, so that little of an answer is repeated forms."""

import json

from microservices.llm.phrasebook.prompts import OUTSIDE_FEEDBACK

RIGHT = "The translation is right."
ALSO_RIGHT = "This is right, too."
NOT_TRANSLATED = "This is not translated."
SOMETHING_ELSE = "This says something else."
NOT_ITALIAN = "This is not Italian."

#: Whole feedbacks and their scores.
_WHOLE = (
    (1.0, RIGHT),
    (0.9, ALSO_RIGHT),
    (0.1, SOMETHING_ELSE),
    (0.0, NOT_TRANSLATED),
    (0.0, NOT_ITALIAN),
    (None, OUTSIDE_FEEDBACK),
)
#: Beginnings of feedbacks that go on with words of the sentence.
_BEGUN = (
    (0.5, "Wrong number"),
    (0.5, "Wrong determiner"),
    (0.5, "Wrong article"),
    (0.4, "Wrong person"),
    (0.4, "Wrong verb form"),
    (0.4, "Wrong order"),
    (0.4, "Incomplete"),
    (0.4, "One word too many"),
    (0.3, "Wrong word"),
    (0.3, "Not translated"),
    (0.2, "Wrong negation"),
)
_ENDS = (" should be", '."}', ' is missing."}', ' should not be there."}')


def verdict(score: float | None, feedback: str) -> str:
    """The grade as the answer is written."""
    return json.dumps({"score": score, "feedback": feedback}, ensure_ascii=False)


def parts() -> tuple[str, ...]:
    """The texts that are one token each."""
    whole = (verdict(score, feedback) for score, feedback in _WHOLE)
    begun = (verdict(score, f"{label}:").removesuffix('"}') for score, label in _BEGUN)
    return (*whole, *begun, *_ENDS)
