"""`POST /v1/chat/completions`: the request as we check it, and the answers as we build them.

Source: https://platform.openai.com/docs/api-reference/chat. Fields that are not named here travel on untouched.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from servicekit.ids import new_id

#: A `chat.completion` or a `chat.completion.chunk`, decoded.
ChatObject = dict[str, Any]
#: What OpenAI's Python SDK accepts as one message's text: a string or a list of typed parts.
Content = str | list[dict[str, Any]] | None
#: What an assistant's message may carry in place of a content.
_INSTEAD_OF_CONTENT = ("tool_calls", "function_call", "audio", "refusal")


#: Who said a message.
Role = Literal["system", "developer", "user", "assistant", "tool", "function"]


class ChatMessage(BaseModel):
    """One message of the conversation."""

    model_config = ConfigDict(extra="allow", strict=True)

    role: Role
    content: Content = None

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        """Refuse a message without content where OpenAI requires one; upstreams refuse it in words of their own."""
        if self.content is None and self.role != "function" and not self._calls_instead():
            needs = PydanticCustomError("content", f"expected a string or a list of parts in a {self.role} message")
            problem = InitErrorDetails(type=needs, loc=("content",), input=None)
            raise ValidationError.from_exception_data("message", [problem])
        return self

    def _calls_instead(self) -> bool:
        extra = self.model_extra or {}
        return self.role == "assistant" and any(extra.get(name) for name in _INSTEAD_OF_CONTENT)


class StreamOptions(BaseModel):
    """Options of a streamed answer."""

    model_config = ConfigDict(extra="allow", strict=True)

    include_usage: bool = False


class ChatRequest(BaseModel):
    """A chat request. `messages` may also be a plain string, as OPEA's users send it."""

    model_config = ConfigDict(extra="allow", strict=True)

    messages: Annotated[list[ChatMessage], Field(min_length=1)] | Annotated[str, Field(min_length=1)]
    model: str | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    n: int | None = Field(None, ge=1, le=16)
    seed: int | None = None
    stop: str | list[str] | None = None
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    response_format: dict[str, Any] | None = None

    def message_list(self) -> list[dict[str, Any]]:
        """Return the messages as a list of plain dicts; a string becomes one user message."""
        if isinstance(self.messages, str):
            return [{"role": "user", "content": self.messages}]
        return [message.model_dump(exclude_unset=True) for message in self.messages]

    def sampling(self) -> dict[str, Any]:
        """Return every field that was sent besides messages, model and the stream switches."""
        return self.model_dump(
            exclude_unset=True, exclude={"messages", "model", "stream", "stream_options"}, exclude_none=True
        )

    @property
    def wants_stream_usage(self) -> bool:
        """Whether a streamed answer must carry `usage`."""
        return self.stream_options is not None and self.stream_options.include_usage


#: What a plain request holds, and no more.
_PLAIN_REQUEST = frozenset({"messages", "model", "stream"})
_PLAIN_MESSAGE = frozenset({"role", "content"})
_ROLES = frozenset(get_args(Role))


def is_plain_request(body: Mapping[str, Any]) -> bool:
    """Return whether a body is so simple that `ChatRequest` has nothing to refuse, at a quarter of its price.

    Args:
        body: Decoded from JSON.
    """
    if not body.keys() <= _PLAIN_REQUEST:
        return False
    messages = body.get("messages")
    if type(messages) is not list or not messages:
        return False
    if type(body.get("model", "")) is not str or type(body.get("stream", False)) is not bool:
        return False
    for message in messages:
        if type(message) is not dict or message.keys() != _PLAIN_MESSAGE or type(message["content"]) is not str:
            return False
        if type(message["role"]) is not str or message["role"] not in _ROLES:
            return False
    return True


def text_of(content: Content) -> str:
    """Return the text of a message's content; the parts of a list are joined by line feeds."""
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))
    return content or ""


def last_user_text(messages: list[dict[str, Any]]) -> str:
    """Return the text of the newest user message, "" if there is none."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return text_of(message.get("content"))
    return ""


def chat_completion(model: str, text: str, usage: dict[str, Any], finish_reason: str = "stop") -> dict[str, Any]:
    """Build a `chat.completion` with one choice."""
    return {
        "id": new_id("chatcmpl-"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": finish_reason,
            }
        ],
        "usage": usage,
    }
