"""What several bodies have: metadata, names, tool resources."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from microservices.assistants.requests.body import RequestModel

Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]
ObjectId = Annotated[str, Field(min_length=1, max_length=256)]
Instructions = Annotated[str, Field(max_length=256_000)]
ModelName = Annotated[str, Field(min_length=1, max_length=256)]
Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(ge=0, le=1)]
ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

_NO_CODE = "code_interpreter is not there, since no code runs here; offer a function tool that runs it on your side"


def refuse_code_interpreter(item: object) -> object:
    """Raise a validation error for a tool that OpenAI had and this project has not."""
    if isinstance(item, dict) and item.get("type") == "code_interpreter":
        raise PydanticCustomError("no_code_interpreter", f"Input should be a function or file_search: {_NO_CODE}")
    return item


class StaticChunks(RequestModel):
    """How large the chunks of a file are, in tokens."""

    max_chunk_size_tokens: int = Field(ge=100, le=4096)
    chunk_overlap_tokens: int = Field(ge=0, le=2048)

    @model_validator(mode="after")
    def _check_overlap(self) -> StaticChunks:
        if 2 * self.chunk_overlap_tokens > self.max_chunk_size_tokens:
            raise PydanticCustomError("overlap", "chunk_overlap_tokens may be half of max_chunk_size_tokens at most")
        return self


class ChunkingStrategy(RequestModel):
    """How a file is divided: `auto`, or `static` with sizes."""

    type: Literal["auto", "static"]
    static: StaticChunks | None = None

    @model_validator(mode="after")
    def _check_static(self) -> ChunkingStrategy:
        if (self.type == "static") != (self.static is not None):
            raise PydanticCustomError("static", "sizes belong under 'static', and only there, if the type is 'static'")
        return self


class NewVectorStore(RequestModel):
    """A vector store to be made on the way."""

    file_ids: Annotated[list[ObjectId], Field(max_length=10_000)] = Field(default_factory=list)
    chunking_strategy: ChunkingStrategy | None = None
    metadata: Metadata | None = None


class FileSearchResources(RequestModel):
    """The vector store that file_search looks into: one that is there, or one to be made."""

    vector_store_ids: Annotated[list[ObjectId], Field(max_length=1)] | None = None
    vector_stores: Annotated[list[NewVectorStore], Field(max_length=1)] | None = None

    @model_validator(mode="after")
    def _check_one(self) -> FileSearchResources:
        if self.vector_store_ids and self.vector_stores:
            raise PydanticCustomError("both", "vector_store_ids and vector_stores exclude each other: name one store")
        return self


class CodeInterpreterResources(RequestModel):
    """Of a tool that is not there: empty, as objects saved from OpenAI carry it, is harmless."""

    file_ids: list[ObjectId] | None = None

    @field_validator("file_ids")
    @classmethod
    def _check_empty(cls, file_ids: list[str] | None) -> list[str] | None:
        if file_ids:
            raise PydanticCustomError("no_code_interpreter", f"Input should be empty: {_NO_CODE}")
        return file_ids


class ToolResources(RequestModel):
    """What the tools work on."""

    code_interpreter: CodeInterpreterResources | None = None
    file_search: FileSearchResources | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what there is for file_search."""
        return self.model_dump(include={"file_search"}, exclude_none=True)


def with_files(tool_resources: ToolResources | None, file_ids: list[str] | None) -> dict[str, Any] | None:
    """Return the tool resources, to which the files of the API's first version are added as a vector store."""
    resources = tool_resources.to_json() if tool_resources is not None else None
    if file_ids and not (resources or {}).get("file_search"):
        return {"file_search": {"vector_stores": [{"file_ids": file_ids}]}}
    return resources
