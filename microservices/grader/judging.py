"""The order of things: rules, then the model, then one repair try, then an honest null."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from microservices.grader.evidence import examine
from microservices.grader.judgement import UnusableJudgementError, parse_judgement
from microservices.grader.rubric import Messages, Rubric
from microservices.grader.schemas import (
    OUT_OF_DOMAIN,
    TOO_LONG,
    UNUSABLE_JUDGEMENT,
    Grade,
    GradeRequest,
    Usage,
    ungraded,
)
from servicekit.context import CallContext
from servicekit.engines.base import Engine
from servicekit.errors import ContextLengthError, InvalidRequestError, UpstreamError
from servicekit.model_profile import OutOfDomain
from servicekit.openai.chat import ChatObject

#: Room for two sentences of feedback.
_MAX_ANSWER_TOKENS = 256
_SEED = 1
#: At temperature 0 a second try with another seed would give the same answer again.
_REPAIR_TEMPERATURE = 0.4


class Judge:
    """Grades requests with one engine.

    Args:
        engine: Who judges.
        rubric: How it is asked.
        out_of_domain: How its model says that it cannot judge a text, if it has a way.
    """

    def __init__(self, engine: Engine, rubric: Rubric, out_of_domain: OutOfDomain | None) -> None:
        self._engine = engine
        self._rubric = rubric
        self._out_of_domain = out_of_domain

    @property
    def model(self) -> str:
        """The name of the model that judges."""
        return self._engine.model

    @property
    def owner(self) -> str:
        """Who owns that model."""
        return self._engine.owner

    async def problem(self) -> str | None:
        """Return why the engine cannot judge now, in one sentence, or None if it can."""
        return await self._engine.problem()

    def ignored(self, request: GradeRequest) -> list[str]:
        """Return the fields of a request that the model's prompt has no place for."""
        return self._rubric.ignored(request)

    async def grade(self, request: GradeRequest, context: CallContext) -> Grade:
        """Grade by rule where one decides, else by the model.

        Raises:
            ServiceError: The engine failed; no grade was made.
        """
        decided = examine(request, self._rubric.limits, self._out_of_domain)
        if decided is not None:
            return decided
        try:
            return await self._by_model(request, context)
        except ContextLengthError as exc:
            return ungraded(TOO_LONG, f"Not graded: the texts do not fit into the model's context. {exc.message}")
        except InvalidRequestError as exc:  # the question was ours, so it is not the caller's fault
            raise UpstreamError(f"The grader's engine refused the question: {exc.message}") from exc

    async def _by_model(self, request: GradeRequest, context: CallContext) -> Grade:
        answer = await self._ask(self._rubric.messages(request), context, is_repair=False)
        usage = Usage().plus(answer.get("usage"))
        try:
            return replace(self._read(answer), usage=usage)
        except UnusableJudgementError as exc:
            messages = self._rubric.repair_messages(request, _text_of(answer), str(exc))
        answer = await self._ask(messages, context, is_repair=True)
        usage = usage.plus(answer.get("usage"))
        try:
            return replace(self._read(answer), usage=usage)
        except UnusableJudgementError as exc:
            reason = f"Not graded: the model's judgement could not be used, also on a second try: {exc}"
            return replace(ungraded(UNUSABLE_JUDGEMENT, reason), usage=usage)

    def _read(self, answer: ChatObject) -> Grade:
        """Turn a `chat.completion` into a grade; an engine that knows its model's refusal marks it by a notice."""
        notice = answer.get("notice") or {}
        if self._out_of_domain is not None and notice.get("code") == self._out_of_domain.code:
            return ungraded(OUT_OF_DOMAIN, self._out_of_domain.message)
        return parse_judgement(_text_of(answer), self._out_of_domain)

    async def _ask(self, messages: Messages, context: CallContext, *, is_repair: bool) -> ChatObject:
        payload: dict[str, Any] = {
            "messages": messages,
            "temperature": _REPAIR_TEMPERATURE if is_repair else 0,
            "seed": _SEED + is_repair,
            "max_tokens": _MAX_ANSWER_TOKENS,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "judgement", "strict": True, "schema": self._rubric.answer_schema},
            },
        }
        return await self._engine.chat(payload, context)


def _text_of(completion: ChatObject) -> str:
    """Return the answer's text; "" where there is none, which is no judgement."""
    choices = completion.get("choices") or [{}]
    content = (choices[0].get("message") or {}).get("content")
    return content if isinstance(content, str) else ""
