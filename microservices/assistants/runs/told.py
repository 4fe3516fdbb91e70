"""Events as they are told: a name and an object, numbered when they are stored."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from microservices.assistants.objects.json_object import JsonObject
from microservices.assistants.objects.run_event import RunEvent

#: An event's name and its object.
Told = tuple[str, JsonObject]


def numbered(told: Sequence[Told], after: int) -> list[RunEvent]:
    """Return events with the numbers that follow one."""
    return [RunEvent(number, name, orjson.dumps(data)) for number, (name, data) in enumerate(told, after + 1)]
