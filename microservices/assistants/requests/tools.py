"""Tools, which of them is to be used, and the form of the answer.

https://platform.openai.com/docs/api-reference/assistants/createAssistant#assistants_createassistant-tools
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator
from pydantic_core import PydanticCustomError

from microservices.assistants.requests.body import RequestModel
from microservices.assistants.requests.common import refuse_code_interpreter

FunctionName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


def _today_name(type_name: object) -> object:
    return "file_search" if type_name == "retrieval" else type_name


#: `retrieval` is what the API's first version called it.
FileSearchType = Annotated[Literal["file_search"], BeforeValidator(_today_name)]


class RankingOptions(RequestModel):
    """Which passages count."""

    score_threshold: float = Field(0.0, ge=0, le=1)
    ranker: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class FileSearchOptions(RequestModel):
    """How much file_search finds."""

    max_num_results: Annotated[int, Field(ge=1, le=50)] | None = None
    ranking_options: RankingOptions | None = None


class FileSearchTool(RequestModel):
    """Search in the files of the vector stores."""

    type: FileSearchType
    file_search: FileSearchOptions | None = None


class Function(RequestModel):
    """A function of the caller's."""

    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    @field_validator("parameters")
    @classmethod
    def _check_schema(cls, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        if schema and schema.get("type", "object") != "object":
            raise PydanticCustomError("schema", 'Input should be a JSON Schema with "type": "object"')
        return schema


class FunctionTool(RequestModel):
    """A function that the model may ask the caller for."""

    type: Literal["function"]
    function: Function


def _tool_kind(item: object) -> str | None:
    kind = item.get("type") if isinstance(item, dict) else getattr(item, "type", None)
    return {"function": "<function>", "file_search": "<file_search>", "retrieval": "<file_search>"}.get(str(kind))


Tool = Annotated[
    Annotated[FunctionTool, Tag("<function>")] | Annotated[FileSearchTool, Tag("<file_search>")],
    Discriminator(
        _tool_kind,
        custom_error_type="tool_type",
        custom_error_message="Input should be an object whose 'type' is 'function' or 'file_search'",
    ),
    BeforeValidator(refuse_code_interpreter),
]
Tools = Annotated[list[Tool], Field(max_length=128)]


def tools_json(tools: list[Any] | None) -> list[dict[str, Any]]:
    """Return tools as the API shows them."""
    return [tool.model_dump(exclude_unset=True) for tool in tools or ()]


class NamedFunction(RequestModel):
    """The function that is to be called."""

    name: FunctionName


class FunctionChoice(RequestModel):
    """One function must be called."""

    type: Literal["function"]
    function: NamedFunction


class FileSearchChoice(RequestModel):
    """Files must be searched."""

    type: FileSearchType


def _choice_kind(item: object) -> str | None:
    return "<word>" if isinstance(item, str) else _tool_kind(item)


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("<word>")]
    | Annotated[FunctionChoice, Tag("<function>")]
    | Annotated[FileSearchChoice, Tag("<file_search>")],
    Discriminator(
        _choice_kind,
        custom_error_type="tool_choice",
        custom_error_message="Input should be 'none', 'auto', 'required' or an object whose 'type' is 'function' or "
        "'file_search'",
    ),
    BeforeValidator(refuse_code_interpreter),
]


class PlainFormat(RequestModel):
    """Text, or any JSON object."""

    type: Literal["text", "json_object"]


class NamedSchema(RequestModel):
    """The JSON Schema that the answer must fit."""

    name: FunctionName
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class SchemaFormat(RequestModel):
    """JSON that fits a schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


def _format_kind(item: object) -> str | None:
    if isinstance(item, str):
        return "<word>"
    kind = item.get("type") if isinstance(item, dict) else getattr(item, "type", None)
    return {"text": "<plain>", "json_object": "<plain>", "json_schema": "<schema>"}.get(str(kind))


ResponseFormat = Annotated[
    Annotated[Literal["auto"], Tag("<word>")]
    | Annotated[PlainFormat, Tag("<plain>")]
    | Annotated[SchemaFormat, Tag("<schema>")],
    Discriminator(
        _format_kind,
        custom_error_type="response_format",
        custom_error_message="Input should be 'auto' or an object whose 'type' is 'text', 'json_object' or "
        "'json_schema'",
    ),
]


def word_or_json(value: Any) -> Any:  # noqa: ANN401 - one of the unions above
    """Return a tool choice or a response format as the API shows it."""
    return value.model_dump(by_alias=True, exclude_unset=True) if isinstance(value, RequestModel) else value
