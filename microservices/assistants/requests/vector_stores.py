"""Vector stores, their files and batches to be made or changed, and searches.

https://platform.openai.com/docs/api-reference/vector-stores
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from microservices.assistants.requests.body import RequestModel
from microservices.assistants.requests.common import ChunkingStrategy, Metadata, ObjectId

_MAX_FILES = 2000
#: Of conditions within conditions: more nobody writes by hand.
_MAX_FILTERS = 64

_Attribute = Annotated[str, Field(max_length=512)] | bool | float
Attributes = Annotated[dict[Annotated[str, Field(min_length=1, max_length=64)], _Attribute], Field(max_length=16)]
Name = Annotated[str, Field(max_length=256)]


class ExpiresAfter(RequestModel):
    """When a vector store ends that nobody uses."""

    anchor: Literal["last_active_at"]
    days: int = Field(ge=1, le=365)


class UpdateVectorStore(RequestModel):
    """The body of `POST /vector_stores/{vector_store_id}`: what is not named stays as it is, null clears."""

    name: Name | None = None
    expires_after: ExpiresAfter | None = None
    metadata: Metadata | None = None

    def changes(self) -> dict[str, Any]:
        """Return the new values of a vector store's fields."""
        changes = self.given("name", "expires_after", "metadata")
        for name, empty in (("name", ""), ("metadata", {})):
            if name in changes and changes[name] is None:
                changes[name] = empty
        return changes


class CreateVectorStore(RequestModel):
    """The body of `POST /vector_stores`."""

    name: Name | None = None
    description: Annotated[str, Field(max_length=512)] | None = None
    file_ids: Annotated[list[ObjectId], Field(max_length=_MAX_FILES)] = Field(default_factory=list)
    chunking_strategy: ChunkingStrategy | None = None
    expires_after: ExpiresAfter | None = None
    metadata: Metadata | None = None


class AddFile(RequestModel):
    """The body of `POST /vector_stores/{vector_store_id}/files`, and an item of a batch."""

    file_id: ObjectId
    attributes: Attributes | None = None
    chunking_strategy: ChunkingStrategy | None = None


class AddFiles(RequestModel):
    """The body of `POST /vector_stores/{vector_store_id}/file_batches`."""

    file_ids: Annotated[list[ObjectId], Field(min_length=1, max_length=_MAX_FILES)] | None = None
    files: Annotated[list[AddFile], Field(min_length=1, max_length=_MAX_FILES)] | None = None
    attributes: Attributes | None = None
    chunking_strategy: ChunkingStrategy | None = None

    @model_validator(mode="after")
    def _check_one(self) -> AddFiles:
        if (self.file_ids is None) == (self.files is None):
            raise PydanticCustomError("files", "either file_ids or files is required, not both")
        return self

    def items(self) -> list[AddFile]:
        """Return the files that are wanted, each once; what is said of all counts for `file_ids`."""
        items = self.files or [
            AddFile(file_id=file_id, attributes=self.attributes, chunking_strategy=self.chunking_strategy)
            for file_id in self.file_ids or ()
        ]
        return list({item.file_id: item for item in items}.values())


class UpdateFile(RequestModel):
    """The body of `POST /vector_stores/{vector_store_id}/files/{file_id}`."""

    attributes: Attributes | None


class Comparison(RequestModel):
    """What one attribute of a file must be."""

    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    key: str
    value: str | bool | float | Annotated[list[str | bool | float], Field(max_length=_MAX_FILES)]

    @model_validator(mode="after")
    def _check_value(self) -> Comparison:
        if (self.type in ("in", "nin")) != isinstance(self.value, list):
            raise PydanticCustomError("list", "value is a list with the types in and nin, and only with these")
        return self


class Comparisons(RequestModel):
    """Several comparisons: all of them, or any."""

    type: Literal["and", "or"]
    filters: Annotated[list[Comparison], Field(min_length=1, max_length=_MAX_FILTERS)]


class Compound(RequestModel):
    """Several conditions: all of them, or any; two levels deep, which every condition can be written in."""

    type: Literal["and", "or"]
    filters: Annotated[list[Comparison | Comparisons], Field(min_length=1, max_length=_MAX_FILTERS)]


class RankingOptions(RequestModel):
    """Which results are good enough; there is one ranker here, so that its name changes nothing."""

    ranker: Annotated[str, Field(max_length=64)] = "auto"
    score_threshold: float = Field(0.0, ge=0, le=1)


class SearchVectorStore(RequestModel):
    """The body of `POST /vector_stores/{vector_store_id}/search`."""

    query: str | Annotated[list[str], Field(min_length=1, max_length=16)]
    filters: Comparison | Compound | None = None
    max_num_results: int = Field(10, ge=1, le=50)
    ranking_options: RankingOptions | None = None
    #: Nothing is rewritten: every word counts as it stands.
    rewrite_query: bool | None = None

    @property
    def queries(self) -> list[str]:
        """What is looked for."""
        return [self.query] if isinstance(self.query, str) else self.query
