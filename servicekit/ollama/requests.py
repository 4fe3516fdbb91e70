"""What Ollama's clients send, checked, and written as OpenAI's requests.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

from collections import deque
from typing import Any, Literal

import orjson
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

#: Ollama's options that have another name, or the same, in OpenAI's API and llama.cpp's additions to it.
_OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "typical_p": "typical_p",
    "seed": "seed",
    "stop": "stop",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "repeat_penalty": "repeat_penalty",
}


class _Body(BaseModel):
    """What every request has; fields that we have no use for (`keep_alive`, `context`, ...) are ignored."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)


class NamedRequest(_Body):
    """A request about one model: show, pull."""

    model: str = Field(min_length=1, validation_alias=AliasChoices("model", "name"))
    stream: bool = True


class _Answering(_Body):
    model: str | None = None
    stream: bool = True
    options: dict[str, Any] | None = None
    #: "json", or a JSON schema.
    format: Literal["json", ""] | dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None

    def parameters(self) -> dict[str, Any]:
        """Return the options under OpenAI's names."""
        given = self.options or {}
        found = {_OPTIONS[name]: value for name, value in given.items() if name in _OPTIONS and value is not None}
        limit = given.get("num_predict")
        if isinstance(limit, int) and limit > 0:  # -1 and -2: as long as it likes
            found["max_tokens"] = limit
        if isinstance(self.format, dict):
            found["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": self.format},
            }
        elif self.format == "json":
            found["response_format"] = {"type": "json_object"}
        if self.logprobs:
            found["logprobs"] = True
            found.update({"top_logprobs": self.top_logprobs} if self.top_logprobs else {})
        return found


class GenerateRequest(_Answering):
    """`POST /api/generate`: one prompt."""

    prompt: str = ""
    system: str | None = None
    #: Base64.
    images: list[str] | None = None
    #: The prompt is continued as it is, without the model's chat template.
    raw: bool = False
    #: What comes after the gap that the answer fills; of models that can.
    suffix: str = ""

    @property
    def is_continued(self) -> bool:
        """Whether a text is to be continued instead of a question answered."""
        return bool(self.prompt) and (self.raw or bool(self.suffix))

    def completion_payload(self) -> dict[str, Any]:
        """Return OpenAI's completion request."""
        more = {"suffix": self.suffix} if self.suffix else {}
        return {"prompt": self.prompt, **more, **self.parameters()}

    def messages(self) -> list[dict[str, Any]]:
        """Return the conversation that the prompt is."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": _content(self.prompt, self.images)}] if self.prompt else []


class ChatRequest(_Answering):
    """`POST /api/chat`: a conversation."""

    messages: list[dict[str, Any]] = Field(default_factory=list)
    tools: list[dict[str, Any]] | None = None

    def parameters(self) -> dict[str, Any]:
        """Return the options and tools under OpenAI's names."""
        return {**super().parameters(), **({"tools": self.tools} if self.tools else {})}

    def openai_messages(self) -> list[dict[str, Any]]:
        """Return the conversation; calls of tools get the ids that OpenAI's API wants, answers find theirs."""
        waiting: deque[tuple[str, str]] = deque()
        return [_message(message, waiting, index) for index, message in enumerate(self.messages)]


class EmbedRequest(_Body):
    """`POST /api/embed`, and its older form `/api/embeddings` with a `prompt`."""

    model: str | None = None
    input: str | list[str] = Field(validation_alias=AliasChoices("input", "prompt"))
    dimensions: int | None = Field(None, ge=0)

    def payload(self) -> dict[str, Any]:
        """Return OpenAI's request."""
        more = {"dimensions": self.dimensions} if self.dimensions else {}
        return {"input": self.input, "encoding_format": "float", **more}


def _message(message: dict[str, Any], waiting: deque[tuple[str, str]], index: int) -> dict[str, Any]:
    role = message.get("role", "user")
    written = {"role": role, "content": _content(message.get("content") or "", message.get("images"))}
    if calls := message.get("tool_calls"):
        written["tool_calls"] = [_call(call, f"call_{index}_{place}", waiting) for place, call in enumerate(calls)]
    if role == "tool":
        written["tool_call_id"] = _id_of(message.get("tool_name") or message.get("name"), waiting)
    return written


def _call(call: dict[str, Any], call_id: str, waiting: deque[tuple[str, str]]) -> dict[str, Any]:
    function = call.get("function") or {}
    name, arguments = str(function.get("name", "")), function.get("arguments") or {}
    waiting.append((name, call_id))
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": orjson.dumps(arguments).decode()},
    }


def _id_of(tool_name: str | None, waiting: deque[tuple[str, str]]) -> str:
    """Return the id of the oldest call of that tool that has no answer yet; of any tool, if none is named."""
    for pair in list(waiting):
        if tool_name in (None, pair[0]):
            waiting.remove(pair)
            return pair[1]
    return "call_unknown"


def _content(text: str, images: list[str] | None) -> str | list[dict[str, Any]]:
    if not images:
        return text
    urls = [image if image.startswith("data:") else f"data:image/png;base64,{image}" for image in images]
    return [{"type": "text", "text": text}, *({"type": "image_url", "image_url": {"url": url}} for url in urls)]
