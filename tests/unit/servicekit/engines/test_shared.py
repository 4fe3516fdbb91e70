"""Several deployments behind one alias: who answers, who is left alone, who answers at last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from servicekit.context import CallContext
from servicekit.engines.shared import Member, SharedEngine
from servicekit.errors import (
    ContextLengthError,
    InvalidRequestError,
    RateLimitedError,
    ServiceError,
    UpstreamAuthError,
    UpstreamUnreachableError,
)
from servicekit.openai.chat import ChatObject
from tests.support.scripted_engine import CONTEXT, ScriptedEngine

ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}
DOWN = UpstreamUnreachableError("it is off")


def engine(name: str, *answers: str | Exception) -> ScriptedEngine:
    """Build an engine of that name."""
    made = ScriptedEngine(*answers)
    made.model = name
    return made


def shared(*engines: ScriptedEngine, fallback: ScriptedEngine | None = None) -> SharedEngine:
    """Build an alias over those engines."""
    return SharedEngine("alias", [Member(one, {}) for one in engines], fallback)


async def answered_by(alias: SharedEngine) -> str:
    """Return which model answered."""
    answer = await alias.chat(ASKED, CONTEXT)
    return str(answer["model"])


@pytest.mark.parametrize(
    "failure",
    [DOWN, RateLimitedError("too many"), UpstreamAuthError("no key"), InvalidRequestError("?", code="model_not_found")],
    ids=lambda failure: failure.code,
)
async def test_the_next_deployment_answers_where_one_fails(failure: ServiceError) -> None:
    """And the one that failed is left alone for a while."""
    off, good = engine("off", failure), engine("good", "Ciao")
    alias = shared(off, good)
    assert [await answered_by(alias) for _ in range(3)] == ["good"] * 3
    assert len(off.payloads) == 1


async def test_the_requests_own_fault_is_answered_at_once() -> None:
    """No other deployment is bothered with it, and none is blamed."""
    first, second = engine("first", ContextLengthError("too long"), "Ciao"), engine("second", "Ciao")
    alias = shared(first, second)
    with pytest.raises(ContextLengthError):
        await alias.chat(ASKED, CONTEXT)
    assert second.payloads == []
    assert await answered_by(alias) == "first"


async def test_a_retry_after_ends_the_cool_down() -> None:
    """A server that says when to come back is asked then."""
    limited, good = engine("limited", RateLimitedError("wait", retry_after_seconds=0), "Ciao"), engine("good", "Ciao")
    alias = shared(limited, good)
    assert [await answered_by(alias), await answered_by(alias)] == ["good", "limited"]


async def test_all_are_tried_where_all_are_cooling_down() -> None:
    """Without a fallback a late answer is better than none; the last failure is told."""
    first, second = engine("first", DOWN, "Ciao"), engine("second", DOWN)
    alias = shared(first, second)
    with pytest.raises(UpstreamUnreachableError):
        await alias.chat(ASKED, CONTEXT)
    assert await answered_by(alias) == "first"


async def test_the_fallback_answers_when_no_deployment_can() -> None:
    """And at once while they cool down."""
    off, spare = engine("off", DOWN), engine("spare", "Ciao")
    alias = shared(off, fallback=spare)
    assert [await answered_by(alias) for _ in range(2)] == ["spare", "spare"]
    assert len(off.payloads) == 1


async def test_a_request_without_time_blames_nobody() -> None:
    """Its deadline is over: no other deployment is asked, none cools down."""
    first, second = engine("first", DOWN, "Ciao"), engine("second", "Ciao")
    alias = shared(first, second)
    with pytest.raises(UpstreamUnreachableError):
        await alias.chat(ASKED, CallContext("req_late", deadline=0.0))
    assert second.payloads == []
    assert await answered_by(alias) == "first"


class SlowEngine(ScriptedEngine):
    """Answers when it is told to, and streams until it fails."""

    def __init__(self, name: str) -> None:
        super().__init__("Ciao")
        self.model = name
        self.may_answer = asyncio.Event()

    async def chat(self, payload: ChatObject, context: CallContext) -> ChatObject:
        """Wait, then answer."""
        self.payloads.append(payload)
        await self.may_answer.wait()
        return {"model": self.model}

    async def chat_stream(self, payload: ChatObject, context: CallContext) -> AsyncGenerator[ChatObject]:
        """Yield one chunk, then fail."""
        self.payloads.append(payload)
        yield {"model": self.model}
        raise DOWN


async def test_the_least_busy_deployment_answers() -> None:
    """Four requests at once are two for each."""
    first, second = SlowEngine("first"), SlowEngine("second")
    alias = shared(first, second)
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(alias.chat(ASKED, CONTEXT)) for _ in range(4)]
        while len(first.payloads) + len(second.payloads) < 4:  # noqa: ASYNC110 - the tasks start one by one
            await asyncio.sleep(0)
        first.may_answer.set()
        second.may_answer.set()
    assert sorted(task.result()["model"] for task in asked) == ["first", "first", "second", "second"]


async def test_a_call_that_is_cancelled_is_no_longer_counted() -> None:
    """A client that leaves makes no deployment look busy."""
    slow = SlowEngine("slow")
    member = Member(slow, {})
    work = asyncio.create_task(SharedEngine("alias", [member]).chat(ASKED, CONTEXT))
    while not slow.payloads:  # noqa: ASYNC110 - the task starts at once
        await asyncio.sleep(0)
    assert member.outstanding == 1
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert (member.outstanding, member.cool_until) == (0, 0.0)


async def test_a_stream_changes_its_deployment_until_its_first_chunk() -> None:
    """After it the failure is told, since the client has part of the answer."""
    off, breaking = engine("off", DOWN), SlowEngine("breaking")
    chunks = shared(off, breaking, engine("spare", "Ciao")).chat_stream(ASKED, CONTEXT)
    assert (await anext(chunks))["model"] == "breaking"
    with pytest.raises(UpstreamUnreachableError):
        await anext(chunks)


async def test_a_streams_fallback_answers() -> None:
    """As in JSON."""
    alias = shared(engine("off", DOWN), fallback=engine("spare", "Ciao"))
    assert [chunk["model"] async for chunk in alias.chat_stream(ASKED, CONTEXT)] == ["spare"]


async def test_each_deployment_is_given_its_own_parameters() -> None:
    """Apart from the request, which stays as the caller wrote it; the fallback has others, or none."""
    off, good, spare = engine("off", DOWN), engine("good", DOWN), engine("spare", "Ciao")
    alias = SharedEngine("alias", [Member(off, {"top_k": 1}), Member(good, {"top_k": 2})], spare)
    asked = {**ASKED, "top_k": 3}
    await alias.chat(asked, CONTEXT)
    assert [one.configured for one in (off, good, spare)] == [[{"top_k": 1}], [{"top_k": 2}], [{}]]
    assert off.payloads == good.payloads == spare.payloads == [asked]


async def test_it_has_a_problem_only_if_nobody_can_answer() -> None:
    """One deployment that is there, or the fallback, is enough."""

    class Off(ScriptedEngine):
        async def problem(self) -> str | None:
            return "It is off."

    off, good = Off("x"), engine("good", "x")
    assert await shared(off, off).problem() == "It is off. It is off."
    assert await shared(off, good).problem() is None
    assert await shared(off, fallback=good).problem() is None
