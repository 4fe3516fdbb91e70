"""The text of what file_search found: shown only to those who ask for it with `include[]`."""

from __future__ import annotations

from microservices.assistants.objects.json_object import JsonObject


def without_content(step: JsonObject) -> JsonObject:
    """Return a run step, or the delta of one, whose results of file_search have no `content`."""
    details = step.get("step_details") or step.get("delta", {}).get("step_details") or {}
    for call in details.get("tool_calls") or ():
        for result in call.get("file_search", {}).get("results") or ():
            result.pop("content", None)
    return step
