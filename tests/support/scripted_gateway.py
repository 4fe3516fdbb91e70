"""A gateway whose models do what their names say, for tests of the assistants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from tests.support import scripts
from tests.support.scripted_upstream import Reply, Script

#: Says "Ciao mondo".
GREETER = "greeter"
#: Calls the first function that it is offered, then says what that gave.
CALLER = "caller"
#: Says one word, then nothing more.
SLOW = "slow"
#: Answers 500.
BROKEN = "broken"
#: Comes to the end of its tokens.
CUT_SHORT = "cut-short"
#: A pipeline that grades its answer.
GRADED = "translate-and-grade"
GRADE = {"score": 0.95, "feedback": "Faultless."}

_ARGUMENTS = ('{"city"', ': "Rome"}')


async def gateway(reply: Reply) -> None:
    """Play the gateway: its list of models, or the answer of the model that is asked for."""
    if reply.request.path.endswith("/models"):
        await scripts.models_list(*_MODELS)(reply)
        return
    asked = reply.request.json
    await _MODELS[asked["model"]](asked)(reply)


def _greet(_asked: dict[str, Any]) -> Script:
    return scripts.openai_stream(["Ciao", " mondo"])


def _call(asked: dict[str, Any]) -> Script:
    last = asked["messages"][-1]
    if last["role"] == "tool":
        return scripts.openai_stream(["It is ", last["content"]])
    if not asked.get("tools"):
        return _greet(asked)
    function = {"name": asked["tools"][0]["function"]["name"], "arguments": ""}
    first: dict[str, Any] = {"index": 0, "id": "call_1", "type": "function", "function": function}
    pieces: list[dict[str, Any]] = [first, *({"index": 0, "function": {"arguments": piece}} for piece in _ARGUMENTS)]
    deltas = [{"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": None} for piece in pieces]
    end: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": "tool_calls"}
    usage = scripts.encode_chunk([], usage=scripts.USAGE)
    return scripts.stream(*(scripts.encode_chunk([choice]) for choice in [*deltas, end]), usage, scripts.DONE)


def _stall(_asked: dict[str, Any]) -> Script:
    return scripts.stream(scripts.openai_events(["Ciao"])[0], scripts.STALL)


def _break(_asked: dict[str, Any]) -> Script:
    return scripts.openai_error(500, "the model is on fire")


def _run_out(_asked: dict[str, Any]) -> Script:
    return scripts.openai_stream(["Ciao"], finish_reason="length")


def _grade(_asked: dict[str, Any]) -> Script:
    *events, _ = scripts.openai_events(["Ciao", " mondo"], usage=None)
    last = orjson.dumps({**_last_chunk(), "grade": GRADE, "usage": scripts.USAGE})
    return scripts.stream(*events, b"data: " + last + b"\n\n", scripts.DONE)


def _last_chunk() -> dict[str, Any]:
    return dict(orjson.loads(scripts.encode_chunk([]).removeprefix(b"data: ")))


_MODELS: dict[str, Callable[[dict[str, Any]], Script]] = {
    GREETER: _greet,
    CALLER: _call,
    SLOW: _stall,
    BROKEN: _break,
    CUT_SHORT: _run_out,
    GRADED: _grade,
}
