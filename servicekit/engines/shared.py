"""Several deployments behind one name: the least busy one answers, one that fails is left alone for a while.

For each request the deployments are tried in this order: those that are not cooling down, least calls in flight first;
when all of them are cooling down, the one whose time is over first. A failure that another deployment may not have
(refused, timed out, 5xx, 429, our key refused) sends the request on to the next one; what is the request's own fault is
answered at once. When none is left, the alias's fallback answers. A stream can change its deployment until its first
chunk. Each answer's `model` is that of the deployment that gave it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

from servicekit.context import CallContext
from servicekit.engines.base import Engine
from servicekit.errors import OverloadedError, RateLimitedError, ServiceError, UpstreamError
from servicekit.model_profile import ModelProfile
from servicekit.openai.chat import ChatObject

_log = logging.getLogger(__name__)

#: How long a deployment that failed gets no requests, unless its `Retry-After` says otherwise.
COOL_DOWN_SECONDS = 30.0
_LONGEST_COOL_DOWN_SECONDS = 300.0

_Ask = Callable[[Engine, CallContext], Awaitable[ChatObject]]
_AskStream = Callable[[Engine, CallContext], AsyncGenerator[ChatObject]]


class Member:
    """One deployment of an alias.

    Args:
        engine: Who answers; other aliases may share it.
        parameters: Sent with every request that does not say otherwise.
    """

    def __init__(self, engine: Engine, parameters: Mapping[str, Any]) -> None:
        self.engine = engine
        self.parameters = parameters
        #: How many of this alias's calls it is answering.
        self.outstanding = 0
        #: Until when it gets no requests, monotonic clock.
        self.cool_until = 0.0

    @contextmanager
    def call(self, context: CallContext) -> Iterator[None]:
        """Count a call while it runs; a failure that another deployment may not have starts the cool-down.

        A request whose own time ran out says nothing about the deployment.
        """
        self.outstanding += 1
        try:
            yield
        except ServiceError as exc:
            if may_help_elsewhere(exc) and context.remaining_seconds() != 0:
                seconds = COOL_DOWN_SECONDS if exc.retry_after_seconds is None else exc.retry_after_seconds
                self.cool_until = time.monotonic() + min(max(seconds, 0.0), _LONGEST_COOL_DOWN_SECONDS)
            raise
        finally:
            self.outstanding -= 1


def may_help_elsewhere(error: ServiceError) -> bool:
    """Whether another deployment may answer the request that this error refuses."""
    return isinstance(error, UpstreamError | RateLimitedError | OverloadedError) or error.code == "model_not_found"


class SharedEngine:
    """Answers for one alias with its deployments; they are started and closed by whoever made them.

    Args:
        alias: For the log.
        members: At least one.
        fallback: Who answers when no member can.
    """

    def __init__(self, alias: str, members: Sequence[Member], fallback: Engine | None = None) -> None:
        self.model = members[0].engine.model
        self.owner = members[0].engine.owner
        self._alias = alias
        self._members = tuple(members)
        self._fallback = fallback

    @property
    def profile(self) -> ModelProfile | None:
        """The first deployment's: who asks prepares the request for that one."""
        return self._members[0].engine.profile

    async def start(self) -> None:
        """Do nothing: each deployment's engine is started once, however many aliases share it."""

    async def close(self) -> None:
        """Do nothing, see `start`."""

    async def problem(self) -> str | None:
        """Return why no deployment and no fallback can answer now, None if one can."""
        engines = [member.engine for member in self._members] + ([self._fallback] if self._fallback else [])
        problems = await asyncio.gather(*(engine.problem() for engine in engines))
        found = [problem for problem in problems if problem is not None]
        return " ".join(found) if len(found) == len(problems) else None

    async def chat(self, payload: ChatObject, context: CallContext) -> ChatObject:
        """Answer with a `chat.completion`; see `Engine.chat`. Raises what the last one that was tried said."""
        return await self._first_answer(lambda engine, own: engine.chat(payload, own), context)

    def chat_stream(self, payload: ChatObject, context: CallContext) -> AsyncGenerator[ChatObject]:
        """Answer with `chat.completion.chunk`s; see `Engine.chat_stream`. Raises as `chat` does."""
        return self._first_stream(lambda engine, own: engine.chat_stream(payload, own), context)

    async def complete(self, payload: ChatObject, context: CallContext) -> ChatObject:
        """Continue a text; see `Engine.complete`. Raises as `chat` does."""
        return await self._first_answer(lambda engine, own: engine.complete(payload, own), context)

    def complete_stream(self, payload: ChatObject, context: CallContext) -> AsyncGenerator[ChatObject]:
        """Continue a text, piece by piece; see `Engine.complete_stream`. Raises as `chat` does."""
        return self._first_stream(lambda engine, own: engine.complete_stream(payload, own), context)

    async def embed(self, payload: ChatObject, context: CallContext) -> ChatObject:
        """Turn texts into vectors; see `Engine.embed`. Raises as `chat` does."""
        return await self._first_answer(lambda engine, own: engine.embed(payload, own), context)

    async def _first_answer(self, ask: _Ask, context: CallContext) -> ChatObject:
        """Return the answer of the first one that has one."""
        failure: ServiceError | None = None
        for member in self._in_turn():
            try:
                with member.call(context):
                    return await ask(member.engine, context._replace(configured=member.parameters))
            except ServiceError as exc:
                failure = self._passed_over(member, exc, context)
        return await ask(self._last_resort(failure), context)

    async def _first_stream(self, ask: _AskStream, context: CallContext) -> AsyncGenerator[ChatObject]:
        """Yield the stream of the first one that begins one."""
        failure: ServiceError | None = None
        for member in self._in_turn():
            has_begun = False
            try:
                with member.call(context):
                    own = context._replace(configured=member.parameters)
                    async with aclosing(ask(member.engine, own)) as chunks:
                        async for chunk in chunks:
                            has_begun = True
                            yield chunk
                return
            except ServiceError as exc:
                if has_begun:
                    raise
                failure = self._passed_over(member, exc, context)
        async with aclosing(ask(self._last_resort(failure), context)) as chunks:
            async for chunk in chunks:
                yield chunk

    def _in_turn(self) -> Iterator[Member]:
        """Yield each member once, the best first; the order is made anew after each failure."""
        left = list(self._members)
        while left:
            now = time.monotonic()
            best = min(left, key=lambda member: (max(0.0, member.cool_until - now), member.outstanding))
            if best.cool_until > now and self._fallback is not None:
                return
            left.remove(best)
            yield best

    def _passed_over(self, member: Member, failure: ServiceError, context: CallContext) -> ServiceError:
        """Return the failure of a member, to go on to the next; raise it if no other could do better."""
        if not may_help_elsewhere(failure) or context.remaining_seconds() == 0:
            raise failure
        _log.warning("alias '%s': '%s' failed (%s): %s", self._alias, member.engine.model, failure.code, failure)
        return failure

    def _last_resort(self, failure: ServiceError | None) -> Engine:
        if self._fallback is not None:
            return self._fallback
        if failure is None:
            raise OverloadedError(f"No deployment of alias '{self._alias}' can answer now.")
        raise failure
