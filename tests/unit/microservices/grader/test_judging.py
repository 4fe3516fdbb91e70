"""The order of rules, model, repair try and honest null."""

from __future__ import annotations

from typing import Any

import pytest

from microservices.grader.evidence import Limits
from microservices.grader.judging import Judge
from microservices.grader.rubric import FixedRubric, GeneralRubric
from microservices.grader.schemas import GradeRequest
from servicekit.errors import (
    ContextLengthError,
    InvalidRequestError,
    UpstreamError,
    UpstreamUnreachableError,
)
from servicekit.model_profile import ModelProfile, load_profile
from servicekit.models import BUNDLED_MODELS
from tests.support.scripted_engine import CONTEXT, ScriptedEngine

REQUEST = GradeRequest(source="Hello, how are you?", candidate="Ciao, come stai?")
GOOD = '{"feedback": "Faultless.", "score": 0.95}'
LIMITS = Limits(8_000, 8_000)


def _judge(*answers: str | Exception | None) -> tuple[Judge, ScriptedEngine]:
    engine = ScriptedEngine(*answers)
    return Judge(engine, GeneralRubric(LIMITS), None), engine


def _judge_with_profile(profile: ModelProfile, *answers: str) -> tuple[Judge, ScriptedEngine]:
    engine = ScriptedEngine(*answers)
    assert profile.grading is not None
    return Judge(engine, FixedRubric(profile.grading, LIMITS), profile.out_of_domain), engine


@pytest.fixture
def phrasebook() -> ModelProfile:
    """Give the profile that ships with the project."""
    profile = load_profile(BUNDLED_MODELS["phrasebook"])
    assert profile is not None
    return profile


async def test_judge_gives_null_where_the_engine_marks_its_model_s_refusal(phrasebook: ModelProfile) -> None:
    """The embedded engine takes the marker off and leaves a notice: that is a refusal, not a broken answer."""
    assert phrasebook.out_of_domain is not None
    judge, engine = _judge_with_profile(phrasebook, phrasebook.out_of_domain.message)
    engine.more = {"notice": {"code": "out_of_domain", "message": "..."}}
    grade = await judge.grade(REQUEST, CONTEXT)
    assert (grade.score, grade.error_code) == (None, "out_of_domain")
    assert grade.feedback == phrasebook.out_of_domain.message
    assert len(engine.payloads) == 1


async def test_judge_asks_once_with_schema_and_temperature_zero() -> None:
    """The model is asked with a fixed seed and an answer bound to the rubric's schema."""
    judge, engine = _judge(GOOD)
    grade = await judge.grade(REQUEST, CONTEXT)
    assert (grade.score, grade.feedback) == (0.95, "Faultless.")
    payload = engine.payloads[0]
    assert (payload["temperature"], payload["seed"]) == (0, 1)
    assert payload["response_format"]["type"] == "json_schema"
    assert payload["response_format"]["json_schema"]["schema"] == GeneralRubric(LIMITS).answer_schema
    assert len(engine.payloads) == 1


@pytest.mark.parametrize("candidate", ["", "Hello, how are you?", "x" * 9_000])
async def test_judge_asks_no_model_where_a_rule_decides(candidate: str) -> None:
    """A grade by rule costs no token."""
    judge, engine = _judge(GOOD)
    grade = await judge.grade(GradeRequest(source="Hello, how are you?", candidate=candidate), CONTEXT)
    assert engine.payloads == []
    assert grade.usage.to_json() == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


async def test_judge_repairs_an_unusable_answer_once() -> None:
    """The second answer counts, and the usage is that of both."""
    judge, engine = _judge("nine of ten", GOOD)
    grade = await judge.grade(REQUEST, CONTEXT)
    assert grade.score == 0.95
    assert grade.usage.to_json() == {"prompt_tokens": 14, "completion_tokens": 6, "total_tokens": 20}
    assert engine.payloads[1]["seed"] != engine.payloads[0]["seed"]
    assert "not valid JSON" in engine.payloads[1]["messages"][-1]["content"]


async def test_judge_asks_a_model_with_a_fixed_prompt_again_in_the_same_words(phrasebook: ModelProfile) -> None:
    """A model that knows one prompt cannot be told what was wrong; it gets another seed and some temperature."""
    judge, engine = _judge_with_profile(phrasebook, "?", GOOD)
    assert (await judge.grade(REQUEST, CONTEXT)).score == 0.95
    first, second = engine.payloads
    assert first["messages"] == second["messages"]
    assert (first["seed"], first["temperature"]) != (second["seed"], second["temperature"])


@pytest.mark.parametrize("answer", ["nine of ten", '{"score": 7, "feedback": "Good."}', None])
async def test_judge_gives_null_after_two_unusable_answers(answer: str | None) -> None:
    """There is no third try and no invented number: the reason is the feedback."""
    judge, engine = _judge(answer)
    grade = await judge.grade(REQUEST, CONTEXT)
    assert (grade.score, grade.error_code) == (None, "unusable_judgement")
    assert "could not be used" in grade.feedback
    assert grade.usage.to_json()["total_tokens"] == 20
    assert len(engine.payloads) == 2


async def test_judge_gives_null_where_the_texts_do_not_fit_the_context() -> None:
    """A context that is too long is no failure of the service."""
    judge, _ = _judge(ContextLengthError("The prompt has 9000 tokens, 4096 fit."))
    grade = await judge.grade(REQUEST, CONTEXT)
    assert (grade.score, grade.error_code) == (None, "too_long")
    assert "9000 tokens" in grade.feedback


async def test_judge_does_not_blame_the_caller_for_its_own_question() -> None:
    """An engine's 400 is the grader's fault: 502, not to be retried."""
    judge, _ = _judge(InvalidRequestError("response_format is not known"))
    with pytest.raises(UpstreamError, match="response_format is not known") as caught:
        await judge.grade(REQUEST, CONTEXT)
    assert (caught.value.status, caught.value.retryable) == (502, False)


async def test_judge_passes_an_engine_s_failure_on() -> None:
    """An engine that is down is an error, never a score."""
    judge, _ = _judge(UpstreamUnreachableError("engine 'm' cannot be reached"))
    with pytest.raises(UpstreamUnreachableError, match="engine 'm'"):
        await judge.grade(REQUEST, CONTEXT)


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}])
async def test_judge_counts_nothing_where_the_engine_tells_nothing(usage: dict[str, Any] | None) -> None:
    """A missing usage is zero, not a crash."""
    judge, engine = _judge(GOOD)
    engine.more = {"usage": usage}
    assert (await judge.grade(REQUEST, CONTEXT)).usage.to_json()["total_tokens"] == 0
