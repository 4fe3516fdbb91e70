"""One line of the run's records for each request: who answered, how long it took, what it cost, how it ended.

The line is made where the request ends, and written by the records' own thread. What
people wrote and what models answered is recorded only where LOG_MESSAGES says so, and so is an error's message, which
may quote them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import orjson
from starlette.requests import ClientDisconnect

from megaservice.known_providers import ProviderOf
from megaservice.nodes.base import Output
from megaservice.orchestration.answer import attached_fields, compose_answer
from megaservice.pipeline.pipeline import Pipeline
from servicekit.asgi.errors import ClientGoneError
from servicekit.asgi.exchange import Exchange
from servicekit.errors import InternalError, ProjectError, ServiceError
from servicekit.records.timestamps import Timestamps

#: What ends a request without being a failure: its client left, or the process ends.
_CANCELLED = (ClientGoneError, ClientDisconnect, asyncio.CancelledError)


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
    answer: dict[str, Any] | EndedRun | None
    failure: BaseException | None


def interaction_of(
    pipeline: Pipeline,
    exchange: Exchange,
    inputs: Mapping[str, Any],
    answer: dict[str, Any] | EndedRun | None,
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
    """Makes lines of interactions, on the event loop alone.

    Args:
        provider_of: Names the provider.
        masked: Takes secrets out of a text.
        log_messages: Whether messages, answers and the texts of errors are recorded.
    """

    def __init__(self, provider_of: ProviderOf, masked: Callable[[str], str], *, log_messages: bool) -> None:
        self._provider_of = provider_of
        self._masked = masked
        self._log_messages = log_messages
        self._timestamp = Timestamps()

    def __call__(self, interaction: Interaction) -> bytes:
        """Return the line of an interaction, as JSON."""
        line = orjson.dumps(self._fields(interaction)).decode()
        return self._masked(line).encode()

    def _fields(self, interaction: Interaction) -> dict[str, Any]:
        ended_at, ended, pipeline, request_id, started, first_byte, inputs, answer, failure = interaction
        told = _told(pipeline, answer)
        asked = inputs.get("model")
        model = told.get("model") or asked
        # A stream's head is sent with its first event; without a run there was none.
        first_token = first_byte if inputs.get("stream") and answer is not None else None
        fields = {
            "time": self._timestamp(ended_at),
            "request_id": request_id,
            "pipeline": pipeline.spec.name,
            "model": model,
            "provider": self._provider_of(asked, model) if model else None,
            "stream": bool(inputs.get("stream")),
            "latency_ms": _milliseconds(ended - started),
            "ttft_ms": None if first_token is None else _milliseconds(first_token - started),
            "usage": told.get("usage"),
            "status": "succeeded" if failure is None else _status(failure),
            "grade": self._grade(told.get("grade")),
            "error": None if failure is None else self._error(failure),
        }
        if self._log_messages:
            fields["messages"] = inputs.get("messages")
            fields["text"] = _text(told)
        return fields

    def _grade(self, grade: object) -> object:
        """Return a grade; its words may quote what was graded, so they are messages."""
        if self._log_messages or not isinstance(grade, dict):
            return grade
        return {name: grade[name] for name in ("score", "error") if name in grade}

    def _error(self, failure: BaseException) -> dict[str, Any] | None:
        if isinstance(failure, _CANCELLED):
            return None
        error = failure if isinstance(failure, ServiceError) else InternalError("see the log")
        return {"code": error.code, "message": error.message} if self._log_messages else {"code": error.code}


def _told(pipeline: Pipeline, answer: dict[str, Any] | EndedRun | None) -> Mapping[str, Any]:
    """Return what the answer said, as far as it is recorded; empty if it did not come to that."""
    if answer is None or isinstance(answer, dict):
        return answer or {}
    try:
        return _streamed(pipeline, answer)
    except (ProjectError, LookupError):  # it was cut before there was one
        return {}


def _streamed(pipeline: Pipeline, run: EndedRun) -> Mapping[str, Any]:
    """Return a stream's whole answer; the usual one is what its last node wrote, with what is attached."""
    outputs = run.outputs
    written = outputs.get(pipeline.answer_node)
    if written is None or "choices" not in written:
        return compose_answer(pipeline, outputs, run.attempts)
    return {**written, **attached_fields(pipeline, outputs)} if pipeline.attached else written


def _status(failure: BaseException) -> str:
    return "cancelled" if isinstance(failure, _CANCELLED) else "failed"


def _text(answer: Mapping[str, Any]) -> str | None:
    choices = answer.get("choices")
    return choices[0]["message"].get("content") if choices else None


def _milliseconds(seconds: float) -> float:
    return round(seconds * 100_000) / 100  # to two places; `round` takes three times as long to find them
