"""How many tokens a chat message has, about: models differ, and the true count comes with the answer."""

from __future__ import annotations

from microservices.assistants.objects.json_object import JsonObject

#: Of English prose; the marks around a message cost the same in most models.
_BYTES_PER_TOKEN = 4
_TOKENS_PER_MESSAGE = 4
#: What OpenAI counts for an image of low detail.
_TOKENS_PER_IMAGE = 85


def estimated_tokens(message: JsonObject) -> int:
    """Return about how many tokens a chat message has."""
    content = message.get("content")
    tokens = _TOKENS_PER_MESSAGE
    if isinstance(content, str):
        tokens += _of_text(content)
    for part in content if isinstance(content, list) else ():
        tokens += _of_text(part["text"]) if part["type"] == "text" else _TOKENS_PER_IMAGE
    for call in message.get("tool_calls") or ():
        tokens += _of_text(call["function"]["name"]) + _of_text(call["function"]["arguments"])
    return tokens


def _of_text(text: str) -> int:
    return -(-len(text.encode()) // _BYTES_PER_TOKEN)
