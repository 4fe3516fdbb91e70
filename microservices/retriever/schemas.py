"""The requests of the retriever's routes, in OPEA's words.

Source: comps 1.5, `cores/proto/docarray.py` (EmbedDoc, SearchedDoc, RerankedDoc) and `cores/proto/api_protocol.py`
(RetrievalRequest, RerankingRequest). Fields that are not named here are ignored, since a pipeline may send more than
we know; those that would change the answer and are not supported are refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

_Text = Annotated[str, Field(min_length=1, max_length=100_000, pattern=r"\S")]
_Vector = Annotated[list[float], Field(max_length=20_000)]
SearchType = Literal["similarity", "similarity_distance_threshold", "similarity_score_threshold", "mmr"]


class _Request(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


def _unwrapped_vector(value: object) -> object:
    """Return the vector of an answer of `/v1/embeddings`, of a list with one vector, or itself."""
    if isinstance(value, dict):
        value = value.get("data", value)
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
            value = value[0].get("embedding", value)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        return value[0]
    return value


class RetrievalRequest(_Request):
    """A question: OPEA's EmbedDoc, or its RetrievalRequest, where `text` is called `input`."""

    text: _Text = Field(validation_alias=AliasChoices("text", "input"), description="The question.")
    embedding: _Vector | None = Field(None, description="Its vector; asked for here if absent, null or empty.")
    model: str | None = Field(None, description="The model that made the vector, where that is known.")
    search_type: SearchType = Field("similarity", description="How passages are chosen.")
    k: int = Field(4, ge=1, le=100, description="How many passages are returned.")
    fetch_k: int = Field(20, ge=1, le=1_000, description="For mmr: from how many of them they are chosen.")
    lambda_mult: float = Field(0.5, ge=0, le=1, description="For mmr: 1 chooses by likeness, 0 by variety alone.")
    score_threshold: float = Field(0.2, ge=0, description="For similarity_score_threshold: the least cosine.")
    distance_threshold: float | None = Field(
        None, ge=0, description="For similarity_distance_threshold: the most that the cosine may lack to 1."
    )
    top_n: int = Field(1, ge=1, le=100, description="Travels on to the reranker, as in OPEA's SearchedDoc.")
    constraints: Any = None
    index_name: Any = None

    @field_validator("text", mode="before")
    @classmethod
    def _one_text(cls, value: object) -> object:
        return value[0] if isinstance(value, list) and len(value) == 1 else value

    @field_validator("embedding", mode="before")
    @classmethod
    def _one_vector(cls, value: object) -> object:
        return _unwrapped_vector(value) or None

    @field_validator("constraints", "index_name")
    @classmethod
    def _is_absent(cls, value: object) -> object:
        if value is not None:
            raise PydanticCustomError("unsupported", "not supported here: there is one index, of all; leave it out")
        return value

    @model_validator(mode="after")
    def _distance_is_there(self) -> Self:
        if self.search_type == "similarity_distance_threshold" and self.distance_threshold is None:
            raise PydanticCustomError("missing", "similarity_distance_threshold needs a distance_threshold")
        return self


class PassageDoc(_Request):
    """A passage that is to be reranked: OPEA's TextDoc, with whatever else the retriever said of it."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    text: str
    id: str | None = None


class RerankingRequest(_Request):
    """Passages and the question: OPEA's SearchedDoc, or its RerankingRequest, where the question is called `input`."""

    initial_query: _Text = Field(
        validation_alias=AliasChoices("initial_query", "query", "input"), description="The question."
    )
    retrieved_docs: list[PassageDoc] = Field(
        validation_alias=AliasChoices("retrieved_docs", "documents"), max_length=1_000, description="The passages."
    )
    embedding: _Vector | None = Field(None, description="The question's vector; without it, words alone count.")
    model: str | None = Field(None, description="The model that made the vector, where that is known.")
    top_n: int = Field(1, ge=1, le=1_000, description="How many of the best are returned.")

    @field_validator("retrieved_docs", mode="before")
    @classmethod
    def _plain_texts(cls, value: object) -> object:
        if not isinstance(value, list):
            return value
        return [{"text": item} if isinstance(item, str) else item for item in value]

    @field_validator("embedding", mode="before")
    @classmethod
    def _one_vector(cls, value: object) -> object:
        return _unwrapped_vector(value) or None


class NamedText(_Request):
    """A document that comes as JSON."""

    text: str = Field(min_length=1, pattern=r"\S", description="All of it.")
    name: str = Field("text.md", min_length=1, max_length=200, description="What it is called; replaces its namesake.")


class IngestRequest(_Request):
    """Documents as JSON: one text with its name, or several in `documents`."""

    documents: list[NamedText] = Field(min_length=1, max_length=1_000)

    @model_validator(mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:  # noqa: ANN401 - any JSON
        return {"documents": [value]} if isinstance(value, dict) and "documents" not in value else value


class DeleteRequest(_Request):
    """What OPEA's dataprep deletes: a file by its name, or `all`."""

    file_path: str = Field(min_length=1)
