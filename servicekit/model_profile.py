"""What a service must know about one model to use it well: the `<model>.profile.json` beside its GGUF file.

A model without a profile is a general chat model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from servicekit.errors import ConfigurationError


class OutOfDomain(BaseModel):
    """How the model says that a text is outside what it knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: The text that such an answer starts with; services strip it and mark the answer instead.
    marker: str
    #: The mark: `{"notice": {"code": <code>}}` in the answer.
    code: str
    #: The sentence that the model answers after the marker.
    message: str


class GradingPrompt(BaseModel):
    """How the model wants to be asked for a grade."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str
    #: Has the places `{source}` and `{candidate}`.
    user_template: str
    #: JSON schema of the judgement, for `response_format`.
    answer_schema: dict[str, Any] = Field(alias="schema")
    max_source_chars: int
    max_candidate_chars: int


class ModelProfile(BaseModel):
    """The profile of one model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    #: Said beside answers to requests without a system prompt, by models that can do one thing only.
    notice: str | None = None
    #: Why only its grading prompt may ask for JSON; None for models that write JSON for any question.
    json_refusal: str | None = None
    out_of_domain: OutOfDomain | None = None
    grading: GradingPrompt | None = None
    #: Whether it was trained so that the first numbers of its vectors mean the same, less finely: then `dimensions` of
    #: an embeddings request cuts them.
    matryoshka: bool = False


def load_profile(gguf_path: Path) -> ModelProfile | None:
    """Return the profile beside a GGUF file, None if there is none.

    Raises:
        ConfigurationError: The profile is there but not valid.
    """
    path = gguf_path.with_suffix(".profile.json")
    if not path.exists():
        return None
    try:
        return ModelProfile.model_validate_json(path.read_bytes())
    except ValidationError as exc:
        places = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in exc.errors())
        raise ConfigurationError(f"{path}: not a valid model profile: {places}.") from exc
