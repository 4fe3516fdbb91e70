"""One line of the run's records for each request: who answered, how long it took, what it cost, how it ended.

While a request is answered nothing is done but to leave a tuple; the line is made in the records' own thread. What
people wrote and what models answered is recorded only where LOG_MESSAGES says so, and so is an error's message, which
may quote them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

import orjson
from starlette.requests import ClientDisconnect

from megaservice.nodes.base import Output
from megaservice.orchestration.answer import compose_answer
from megaservice.pipeline.pipeline import Pipeline
from servicekit.asgi.errors import ClientGoneError
from servicekit.asgi.exchange import Exchange
from servicekit.errors import InternalError, ProjectError, ServiceError

#: What ends a request without being a failure: its client left, or the process ends.
_CANCELLED = (ClientGoneError, ClientDisconnect, asyncio.CancelledError)
#: Names the provider of an answer: by the model that was asked for, and the one that answered.
ProviderOf = Callable[[str | None, str], str | None]


class EndedRun(Protocol):
    """A run whose answer was streamed, once it is over."""

    @property
    def outputs(self) -> Mapping[str, Output]:
        """By node."""

    @property
    def attempts(self) -> Mapping[str, int]:
        """How many its loops made, by their names."""


class Interaction(NamedTuple):
    """What is left of a request when it is over; moments are seconds on the monotonic clock."""

    ended_at: float  # UNIX seconds
    ended: float
    pipeline: Pipeline
    request_id: str
    started: float
    first_byte: float | None
    inputs: Mapping[str, Any]
    #: The JSON answer, or the run of a streamed one; None if there is none.
    answer: Mapping[str, Any] | EndedRun | None
    failure: BaseException | None


def interaction_of(
    pipeline: Pipeline,
    exchange: Exchange,
    inputs: Mapping[str, Any],
    answer: Mapping[str, Any] | EndedRun | None,
    failure: BaseException | None,
) -> Interaction:
    """Return what is recorded of a request that is over now."""
    return Interaction(
        time.time(),
        time.monotonic(),
        pipeline,
        exchange.context.request_id,
        exchange.started,
        exchange.first_byte,
        inputs,
        answer,
        failure,
    )


class InteractionEncoder:
    """Makes lines of interactions.

    Args:
        provider_of: Names the provider.
        masked: Takes secrets out of a text.
        log_messages: Whether messages, answers and the texts of errors are recorded.
    """

    def __init__(self, provider_of: ProviderOf, masked: Callable[[str], str], *, log_messages: bool) -> None:
        self._provider_of = provider_of
        self._masked = masked
        self._log_messages = log_messages

    def __call__(self, interaction: Interaction) -> bytes:
        """Return the line of an interaction, as JSON."""
        line = orjson.dumps(self._fields(interaction)).decode()
        return self._masked(line).encode()

    def _fields(self, interaction: Interaction) -> dict[str, Any]:
        inputs, answer = interaction.inputs, _composed(interaction)
        streamed = bool(inputs.get("stream"))
        asked = inputs.get("model")
        model = answer.get("model") or asked
        fields = {
            "time": datetime.fromtimestamp(interaction.ended_at, UTC).isoformat(timespec="milliseconds"),
            "request_id": interaction.request_id,
            "pipeline": interaction.pipeline.spec.name,
            "model": model,
            "provider": self._provider_of(asked, model) if model else None,
            "stream": streamed,
            "latency_ms": _milliseconds(interaction.ended - interaction.started),
            "ttft_ms": _first_token_ms(interaction) if streamed else None,
            "usage": answer.get("usage"),
            "status": _status(interaction.failure),
            "grade": self._grade(answer.get("grade")),
            "error": self._error(interaction.failure),
        }
        if self._log_messages:
            fields["messages"] = inputs.get("messages")
            fields["text"] = _text(answer)
        return fields

    def _grade(self, grade: object) -> object:
        """Return a grade; its words may quote what was graded, so they are messages."""
        if self._log_messages or not isinstance(grade, Mapping):
            return grade
        return {name: grade[name] for name in ("score", "error") if name in grade}

    def _error(self, failure: BaseException | None) -> dict[str, Any] | None:
        if failure is None or isinstance(failure, _CANCELLED):
            return None
        error = failure if isinstance(failure, ServiceError) else InternalError("see the log")
        return {"code": error.code, "message": error.message} if self._log_messages else {"code": error.code}


def _composed(interaction: Interaction) -> Mapping[str, Any]:
    """Return the whole answer, put together of a stream's run if need be; empty if it did not come to that."""
    answer = interaction.answer
    if answer is None or isinstance(answer, Mapping):
        return answer or {}
    try:
        return compose_answer(interaction.pipeline, answer.outputs, answer.attempts)
    except (ProjectError, LookupError):  # it was cut before there was one
        return {}


def _status(failure: BaseException | None) -> str:
    if failure is None:
        return "succeeded"
    return "cancelled" if isinstance(failure, _CANCELLED) else "failed"


def _first_token_ms(interaction: Interaction) -> float | None:
    """Return the time to the first token: a stream's head is sent with its first event."""
    if interaction.first_byte is None or interaction.answer is None:
        return None
    return _milliseconds(interaction.first_byte - interaction.started)


def _text(answer: Mapping[str, Any]) -> str | None:
    choices = answer.get("choices")
    return choices[0]["message"].get("content") if choices else None


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 2)
