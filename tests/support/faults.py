"""The ways in which a node can fail, and what the gateway's client must see of each: style.md's error table as data."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support import scripts
from tests.support.scripted_upstream import Script
from tests.support.scripts import CUT, DONE, STALL, Step, openai_events


@dataclass(frozen=True, slots=True)
class Fault:
    """One failure of a node.

    Attributes:
        name: The test's id.
        script: What the node's server does; None where nobody listens.
        status: What the client must get.
        code: The error's code.
        words: A part of the message.
        retryable: Whether the client is told that it may try again.
        headers: What the answer must carry besides.
    """

    name: str
    script: Script | None
    status: int
    code: str
    words: str
    retryable: bool = False
    headers: dict[str, str] = field(default_factory=dict)


def _error(status: int, *, code: str | None = None, words: str = "it broke") -> Script:
    return scripts.openai_error(status, words, code)


#: Failures before the first byte of the answer, the same for JSON and stream, for any kind of node.
ANSWERS = (
    Fault("refused", None, 502, "upstream_unreachable", "cannot be reached (connection refused)", retryable=True),
    Fault(
        "closed-without-answer",
        scripts.close_without_answer(),
        502,
        "upstream_unreachable",
        "closed the connection without an answer",
        retryable=True,
    ),
    Fault("silence", scripts.silence(), 504, "upstream_timeout", "the first-token time-out of 0.8 s", retryable=True),
    Fault(
        "headers-then-silence",
        scripts.headers_then_silence(),
        504,
        "upstream_timeout",
        "the first-token time-out of 0.8 s",
        retryable=True,
    ),
    Fault("400-openai", _error(400), 400, "invalid_value", "answered 400: it broke"),
    Fault("400-fastapi", scripts.fastapi_error(400), 400, "invalid_value", "answered 400: it broke"),
    Fault("400-ollama", scripts.ollama_error(400), 400, "invalid_value", "answered 400: it broke"),
    Fault("400-plain", scripts.plain_error(400), 400, "invalid_value", "answered 400: it broke"),
    Fault("401", _error(401), 502, "upstream_auth", "answered 401: it broke"),
    Fault("403", scripts.fastapi_error(403), 502, "upstream_auth", "answered 403: it broke"),
    Fault("404-route", scripts.fastapi_error(404, "Not Found"), 502, "upstream_error", "answered 404: Not Found"),
    Fault("413", scripts.plain_error(413), 400, "invalid_value", "answered 413: it broke"),
    Fault(
        "422-fastapi",
        scripts.fastapi_error(422, [{"loc": ["body", "messages"], "msg": "Field required"}]),
        400,
        "invalid_value",
        "answered 422",
    ),
    Fault(
        "429",
        scripts.openai_error(429, "slow down", headers={"retry-after": "7"}),
        429,
        "rate_limit_exceeded",
        "answered 429: slow down",
        retryable=True,
        headers={"retry-after": "7"},
    ),
    Fault("500-openai", _error(500), 502, "upstream_error", "answered 500: it broke", retryable=True),
    Fault("500-fastapi", scripts.fastapi_error(500), 502, "upstream_error", "answered 500: it broke", retryable=True),
    Fault("500-ollama", scripts.ollama_error(500), 502, "upstream_error", "answered 500: it broke", retryable=True),
    Fault("500-plain", scripts.plain_error(500), 502, "upstream_error", "answered 500: it broke", retryable=True),
    Fault("500-empty", scripts.answer(500, b""), 502, "upstream_error", "answered 500.", retryable=True),
    Fault("503", scripts.plain_error(503), 502, "upstream_error", "answered 503: it broke", retryable=True),
    Fault(
        "500-not-to-be-retried",
        scripts.answer(500, {"error": {"message": "it broke"}}, headers={"x-should-retry": "false"}),
        502,
        "upstream_error",
        "answered 500: it broke",
    ),
    Fault("200-broken-json", scripts.broken_json(), 502, "upstream_bad_response", "broken JSON"),
    Fault("200-json-array", scripts.answer(200, [1]), 502, "upstream_bad_response", " answered "),
    Fault(
        "not-http",
        scripts.play(b"SSH-2.0-OpenSSH\r\n\r\n", CUT),
        502,
        "upstream_bad_response",
        "answered something that is not HTTP",
    ),
)

#: What only a chat node says.
CHAT_ANSWERS = (
    Fault(
        "400-context",
        _error(400, code="exceed_context_size_error", words="too long"),
        400,
        "context_length_exceeded",
        "too long",
    ),
    Fault(
        "404-model-openai",
        _error(404, code="model_not_found", words="The model 'x' does not exist"),
        400,
        "model_not_found",
        "The model 'x' does not exist",
    ),
    Fault(
        "404-model-ollama",
        scripts.ollama_error(404, "model 'x' not found, try pulling it first"),
        400,
        "model_not_found",
        "try pulling it first",
    ),
    Fault(
        "200-error-object",
        scripts.ollama_error(200, "out of memory"),
        502,
        "upstream_error",
        "out of memory",
    ),
    Fault("200-no-choices", scripts.answer(200, {"id": "1"}), 502, "upstream_bad_response", "answered JSON"),
)

_WHOLE_EVENT, _SECOND_EVENT = openai_events(["Ciao", "!"], finish_reason=None, usage=None, done=False)
#: Two events, and time for the gateway to pass them on before what comes next.
_FIRST: tuple[Step, ...] = (_WHOLE_EVENT, _SECOND_EVENT, 0.1)


def _stream(*steps: Step) -> Script:
    return scripts.stream(*steps)


#: Streams that fail before their first event: still a status of its own.
STREAM_STARTS = (
    Fault(
        "error-event-first",
        _stream(scripts.error_event("out of memory")),
        502,
        "upstream_error",
        "out of memory",
    ),
    Fault("no-event", _stream(), 502, "upstream_bad_response", "ended its stream without any event", retryable=True),
    Fault("done-alone", _stream(DONE), 502, "upstream_bad_response", "without any text", retryable=True),
    Fault(
        "usage-alone",
        _stream(*openai_events([], finish_reason=None, done=True)),
        502,
        "upstream_bad_response",
        "without any text",
        retryable=True,
    ),
    Fault("first-event-cut", _stream(_WHOLE_EVENT[:20], CUT), 502, "upstream_bad_response", "", retryable=True),
    Fault(
        "first-event-unfinished",
        _stream(_WHOLE_EVENT[:20]),
        502,
        "upstream_bad_response",
        "inside an event",
        retryable=True,
    ),
    Fault("first-event-broken-json", _stream(b"data: {nope\n\n"), 502, "upstream_bad_response", "broken JSON"),
    Fault("first-event-stalls", _stream(b": ping\n\n", STALL), 504, "upstream_timeout", "time-out of", retryable=True),
)

#: Streams that fail after two events: their text, then one error event of that code, and no `[DONE]`.
STREAM_MIDDLES = (
    Fault("stall", _stream(*_FIRST, STALL), 200, "upstream_timeout", "the idle time-out of 0.6 s"),
    Fault("cut", _stream(*_FIRST, CUT), 200, "upstream_bad_response", "in the middle of its answer"),
    Fault("cut-mid-event", _stream(*_FIRST, _WHOLE_EVENT[:30], CUT), 200, "upstream_bad_response", "in the middle of"),
    Fault("ended-mid-event", _stream(*_FIRST, _WHOLE_EVENT[:30]), 200, "upstream_bad_response", "inside an event"),
    Fault(
        "error-event", _stream(*_FIRST, scripts.error_event("out of memory")), 200, "upstream_error", "out of memory"
    ),
    Fault(
        "named-error-event",
        _stream(*_FIRST, b'event: error\ndata: {"message": "out of memory"}\n\n'),
        200,
        "upstream_error",
        "out of memory",
    ),
    Fault("error-event-then-done", _stream(*_FIRST, scripts.error_event("no"), DONE), 200, "upstream_error", "no"),
    Fault("ended-without-done", _stream(*_FIRST), 200, "upstream_bad_response", "without a finish_reason or [DONE]"),
    Fault("broken-json", _stream(*_FIRST, b"data: {nope\n\n"), 200, "upstream_bad_response", "broken JSON"),
    Fault("not-an-object", _stream(*_FIRST, b"data: 7\n\n"), 200, "upstream_bad_response", "7"),
)

_GOOD = openai_events(["Perché ", "è ", "così? ", "🙂"])
#: The text of `GOOD_STREAMS`.
GOOD_TEXT = "Perché è così? 🙂"
#: Odd but good streams: they must arrive whole.
GOOD_STREAMS = {
    "plain": _stream(*_GOOD),
    "split-every-byte": _stream(*scripts.split_every(_GOOD, 1)),
    "split-every-7-bytes": _stream(*scripts.split_every(_GOOD, 7)),
    "one-read": _stream(b"".join(_GOOD)),
    "crlf": _stream(*scripts.with_crlf(_GOOD)),
    "crlf-split-every-3-bytes": _stream(*scripts.split_every(scripts.with_crlf(_GOOD), 3)),
    "comments-between": _stream(*[part for event in _GOOD for part in (b": ping\n\n", event)]),
    "byte-order-mark": _stream(b"\xef\xbb\xbf", *_GOOD),
    "no-done-after-finish-reason": _stream(*_GOOD[:-1]),
    "no-finish-reason-before-done": _stream(*openai_events(["Perché è così? 🙂"], finish_reason=None)),
    "no-usage": _stream(*openai_events(["Perché è così? 🙂"], usage=None)),
}


def ids(fault: Fault) -> str:
    """Name a fault in a test's id."""
    return fault.name
