"""A model that writes JSON for one question only must not be bound to it for others: it would invent an answer."""

from __future__ import annotations

from typing import Any

from servicekit.errors import InvalidRequestError
from servicekit.model_profile import ModelProfile
from servicekit.openai.chat import ChatObject, text_of

_JSON_FORMS = ("json_object", "json_schema")


def check_json_is_possible(profile: ModelProfile | None, payload: ChatObject) -> None:
    """Let a chat request pass unless it wants JSON of a model that only has its grading to write so.

    A model whose profile has no `json_refusal` writes what it is asked for.

    Raises:
        InvalidRequestError: In the words of the profile.
    """
    if profile is None or profile.json_refusal is None or not _wants_json(payload):
        return
    if profile.grading is None or not _has_system_message(payload, profile.grading.system):
        raise InvalidRequestError(profile.json_refusal, param="response_format")


def _wants_json(payload: ChatObject) -> bool:
    wanted: Any = payload.get("response_format")
    return isinstance(wanted, dict) and wanted.get("type") in _JSON_FORMS


def _has_system_message(payload: ChatObject, system: str) -> bool:
    messages: list[dict[str, Any]] = payload["messages"]
    return any(item.get("role") == "system" and text_of(item.get("content")) == system for item in messages)
