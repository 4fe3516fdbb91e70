"""The request and the answer of `POST /v1/grade`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

#: The codes of a grade without a score.
TOO_LONG = "too_long"
OUT_OF_DOMAIN = "out_of_domain"
UNUSABLE_JUDGEMENT = "unusable_judgement"

_Criterion = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]


class GradeRequest(BaseModel):
    """What is to be graded; unknown fields are ignored, since a pipeline may send more than we know."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    #: The text that was to be worked on.
    source: str = Field(min_length=1, pattern=r"\S")
    #: What was made of it. May be empty: that is a bad candidate, not a bad request.
    candidate: str
    #: A known good answer.
    reference: str | None = None
    #: What to judge by, one criterion or several; accuracy, fluency and completeness of a translation if absent.
    criteria: _Criterion | Annotated[list[_Criterion], Field(min_length=1, max_length=20)] | None = None

    @property
    def criteria_list(self) -> list[str]:
        """The criteria that were given, as a list."""
        if self.criteria is None:
            return []
        return [self.criteria] if isinstance(self.criteria, str) else self.criteria


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that the judging cost; zero where a rule decided."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def plus(self, usage: dict[str, Any] | None) -> Usage:
        """Return this and the `usage` of one more answer."""
        counts = usage or {}
        return Usage(
            self.prompt_tokens + int(counts.get("prompt_tokens") or 0),
            self.completion_tokens + int(counts.get("completion_tokens") or 0),
        )

    def to_json(self) -> dict[str, int]:
        """Return OpenAI's `usage` object."""
        total = self.prompt_tokens + self.completion_tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": total,
        }


@dataclass(frozen=True, slots=True)
class Grade:
    """A score with its feedback, or the reason why there is none.

    Attributes:
        score: 0.0 to 1.0, or None: not judged is not zero.
        feedback: What is good or wrong; without a score, the reason.
        error_code: Set exactly where there is no score.
        usage: Tokens that it cost.
    """

    score: float | None
    feedback: str
    error_code: str | None = None
    usage: Usage = field(default_factory=Usage)

    def to_json(self, model: str, ignored: list[str]) -> dict[str, Any]:
        """Return the answer's body.

        Args:
            model: The model that judges here, also where a rule decided and no token was spent.
            ignored: Fields of the request that this model's fixed prompt has no place for.
        """
        body: dict[str, Any] = {"score": self.score, "feedback": self.feedback}
        if self.error_code is not None:
            body["error"] = {"code": self.error_code}
        if ignored:
            body["ignored"] = ignored
        return {**body, "model": model, "usage": self.usage.to_json()}


def ungraded(code: str, reason: str) -> Grade:
    """Return a grade without a score."""
    return Grade(None, reason, error_code=code)
