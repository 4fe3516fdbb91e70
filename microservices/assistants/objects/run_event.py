"""An event of a run's stream."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One event of a run's stream; see https://platform.openai.com/docs/api-reference/assistants-streaming/events.

    Attributes:
        number: Counts from 1 within the run; the SSE event's `id:`, which `Last-Event-ID` brings back.
        event: Such as `thread.message.delta`.
        data: The object, as JSON.
    """

    number: int
    event: str
    data: bytes
