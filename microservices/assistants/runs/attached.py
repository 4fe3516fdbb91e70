"""What a pipeline attaches to its answer, as metadata: strings, few and short, by the API's rules."""

from __future__ import annotations

from typing import Any, Final

import orjson

from microservices.assistants.objects.json_object import JsonObject, Metadata

_MOST_PAIRS: Final = 16
_LONGEST_KEY: Final = 64
_LONGEST_VALUE: Final = 512


def message_metadata(attached: JsonObject) -> Metadata:
    """Return what a message says of them: `{"grade": {"score": 1}}` becomes `grade_score`."""
    found: dict[str, str] = {}
    for name, value in attached.items():
        parts = {f"{name}_{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
        found |= {key: _text(part)[:_LONGEST_VALUE] for key, part in parts.items() if part is not None}
    return _bounded(found)


def step_metadata(attached: JsonObject) -> Metadata:
    """Return what a run step says of them: the same, and each object whole as JSON, where it fits."""
    whole = {name: _text(value) for name, value in attached.items() if isinstance(value, dict)}
    return _bounded(message_metadata(attached) | {name: text for name, text in whole.items() if _fits(text)})


def _fits(text: str) -> bool:
    return len(text) <= _LONGEST_VALUE


def _bounded(pairs: dict[str, str]) -> Metadata:
    short = [(key, value) for key, value in pairs.items() if len(key) <= _LONGEST_KEY]
    return dict(short[:_MOST_PAIRS])


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON
    return value if isinstance(value, str) else orjson.dumps(value).decode()
