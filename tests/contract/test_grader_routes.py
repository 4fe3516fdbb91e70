"""The grader's HTTP contract, its engine being a scripted upstream."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.grader import GOOD_JUDGEMENT, REQUEST, grader_before


async def test_grade_answers_score_feedback_model_and_usage(scripted_upstream: UpstreamFactory) -> None:
    """A grade has exactly its four fields."""
    upstream = await scripted_upstream(scripts.completion(GOOD_JUDGEMENT))
    async with grader_before(upstream.url) as grader:
        response = await grader.post("/v1/grade", json=REQUEST)
    assert response.status_code == 200
    assert response.json() == {
        "score": 0.95,
        "feedback": "Faultless.",
        "model": scripts.MODEL,
        "usage": scripts.USAGE,
    }


async def test_grade_asks_its_own_engine_with_a_schema(scripted_upstream: UpstreamFactory) -> None:
    """The engine gets an OpenAI request bound to a schema, at temperature 0, in the model's name."""
    upstream = await scripted_upstream(scripts.completion(GOOD_JUDGEMENT))
    async with grader_before(upstream.url) as grader:
        await grader.post("/v1/grade", json={**REQUEST, "reference": "Ciao!", "criteria": ["fluency"]})
    asked = upstream.requests[0]
    assert asked.path == "/v1/chat/completions"
    assert (asked.json["model"], asked.json["temperature"]) == (scripts.MODEL, 0)
    schema = asked.json["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["score"] == {"type": ["number", "null"], "minimum": 0, "maximum": 1}
    text = asked.json["messages"][1]["content"]
    assert all(part in text for part in ("Hello, how are you?", "Ciao, come stai?", "Ciao!"))


async def test_grade_hands_request_id_and_deadline_on(scripted_upstream: UpstreamFactory) -> None:
    """The engine sees the caller's request id and what is left of its time; the answer carries the id."""
    upstream = await scripted_upstream(scripts.completion(GOOD_JUDGEMENT))
    headers = {"x-request-id": "req-from-gateway", "x-request-timeout-ms": "5000"}
    async with grader_before(upstream.url) as grader:
        response = await grader.post("/v1/grade", json=REQUEST, headers=headers)
    asked = upstream.requests[0].headers
    assert asked["x-request-id"] == response.headers["x-request-id"] == "req-from-gateway"
    assert 0 < int(asked["x-request-timeout-ms"]) <= 5000


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"source": None}, "source"),
        ({"source": ""}, "source"),
        ({"source": " \n"}, "source"),
        ({"source": 3}, "source"),
        ({"candidate": None}, "candidate"),
        ({"candidate": ["Ciao"]}, "candidate"),
        ({"reference": 3}, "reference"),
        ({"criteria": ""}, "criteria"),
        ({"criteria": []}, "criteria"),
        ({"criteria": [3]}, "criteria[0]"),
    ],
)
async def test_grade_names_the_field_of_a_bad_value(
    scripted_upstream: UpstreamFactory, change: dict[str, Any], param: str
) -> None:
    """A value that does not fit is a 400 whose `param` names it, and nobody is asked."""
    upstream = await scripted_upstream(scripts.completion(GOOD_JUDGEMENT))
    async with grader_before(upstream.url) as grader:
        response = await grader.post("/v1/grade", json={**REQUEST, **change})
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (400, param, "invalid_value")
    assert upstream.requests == []


@pytest.mark.parametrize("missing", ["source", "candidate"])
async def test_grade_names_a_missing_field(scripted_upstream: UpstreamFactory, missing: str) -> None:
    """A field that must be there is named when it is not."""
    upstream = await scripted_upstream(scripts.completion(GOOD_JUDGEMENT))
    body = {name: text for name, text in REQUEST.items() if name != missing}
    async with grader_before(upstream.url) as grader:
        response = await grader.post("/v1/grade", json=body)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, missing)
    assert "required" in error["message"]


@pytest.mark.parametrize(
    ("body", "hint"), [(b"", "empty"), (b'{"source": ', "line 1, column"), (b'["a"]', "array"), (b"\xff", "JSON")]
)
async def test_grade_says_what_is_wrong_with_a_body_that_is_no_object(
    scripted_upstream: UpstreamFactory, body: bytes, hint: str
) -> None:
    """Whatever is no JSON object is a 400 that says so."""
    upstream = await scripted_upstream(scripts.completion(GOOD_JUDGEMENT))
    async with grader_before(upstream.url) as grader:
        response = await grader.post("/v1/grade", content=body)
    assert response.status_code == 400
    assert hint in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("candidate", "score", "code"), [("", 0.0, None), ("hello how are you", 0.0, None), ("x" * 9_000, None, "too_long")]
)
async def test_grade_by_rule_asks_no_model_and_costs_no_token(
    scripted_upstream: UpstreamFactory, candidate: str, score: float | None, code: str | None
) -> None:
    """A rule's grade has the same shape; `model` names who would have judged."""
    upstream = await scripted_upstream(scripts.completion(GOOD_JUDGEMENT))
    async with grader_before(upstream.url) as grader:
        response = await grader.post("/v1/grade", json={**REQUEST, "candidate": candidate})
    answer = response.json()
    assert (response.status_code, answer["score"], answer["model"]) == (200, score, scripts.MODEL)
    assert answer.get("error", {}).get("code") == code
    assert answer["feedback"]
    assert answer["usage"]["total_tokens"] == 0
    assert upstream.requests == []


async def test_grade_without_score_carries_code_and_reason(scripted_upstream: UpstreamFactory) -> None:
    """Two unusable judgements are a null with its code and reason, and the usage of both."""
    upstream = await scripted_upstream(scripts.completion("nine of ten"))
    async with grader_before(upstream.url) as grader:
        answer = (await grader.post("/v1/grade", json=REQUEST)).json()
    assert (answer["score"], answer["error"]) == (None, {"code": "unusable_judgement"})
    assert "nine of ten" in answer["feedback"]
    assert answer["usage"]["total_tokens"] == 2 * scripts.USAGE["total_tokens"]
    assert len(upstream.requests) == 2


async def test_grade_asks_a_served_phrasebook_in_its_own_words(scripted_upstream: UpstreamFactory) -> None:
    """The bundled model's prompt belongs to it also where another service runs it; unused fields are told."""
    upstream = await scripted_upstream(scripts.completion(GOOD_JUDGEMENT))
    async with grader_before(upstream.url, model_id="phrasebook") as grader:
        answer = (await grader.post("/v1/grade", json={**REQUEST, "criteria": "translation quality"})).json()
    text = upstream.requests[0].json["messages"][1]["content"]
    assert text.startswith("<source>\nHello, how are you?\n</source>")
    assert answer["ignored"] == ["criteria"]


async def test_models_lists_the_model_that_judges(scripted_upstream: UpstreamFactory) -> None:
    """`GET /v1/models` has the one model in OpenAI's shape."""
    upstream = await scripted_upstream(scripts.models_list())
    async with grader_before(upstream.url) as grader:
        answer = (await grader.get("/v1/models")).json()
    assert answer["object"] == "list"
    assert [(item["id"], item["object"]) for item in answer["data"]] == [(scripts.MODEL, "model")]


async def test_grader_has_the_routes_of_an_opea_microservice(scripted_upstream: UpstreamFactory) -> None:
    """Health, statistics and metrics answer as those of every service here."""
    upstream = await scripted_upstream(scripts.models_list())
    async with grader_before(upstream.url) as grader:
        assert (await grader.get("/v1/health_check")).json()["Service Title"] == "grader"
        assert (await grader.get("/health")).json() == {"status": "ok"}
        assert (await grader.get("/ready")).json() == {"status": "ready"}
        assert "http_requests_total" in (await grader.get("/metrics")).text
        assert "/ready" in (await grader.get("/v1/statistics")).json()


async def test_docs_describe_the_request(scripted_upstream: UpstreamFactory) -> None:
    """The body is parsed by hand, and /docs shows its schema all the same."""
    upstream = await scripted_upstream(scripts.models_list())
    async with grader_before(upstream.url) as grader:
        paths = (await grader.get("/openapi.json")).json()["paths"]
    schema = paths["/v1/grade"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == {"source", "candidate", "reference", "criteria"}
    assert schema["required"] == ["source", "candidate"]


async def test_ready_names_an_engine_that_is_not_there(refused_url: str) -> None:
    """Readiness is 503 with the engine's address while it does not answer; liveness stays 200."""
    async with grader_before(refused_url) as grader:
        response = await grader.get("/ready")
        assert (await grader.get("/health")).status_code == 200
    assert response.status_code == 503
    assert refused_url in response.json()["problems"][0]


async def test_grade_needs_a_key_where_keys_are_set(scripted_upstream: UpstreamFactory) -> None:
    """With API_KEYS a request without one is a 401; probes need none."""
    upstream = await scripted_upstream(scripts.completion(GOOD_JUDGEMENT))
    async with grader_before(upstream.url, api_keys="right") as grader:
        refused = await grader.post("/v1/grade", json=REQUEST)
        allowed = await grader.post("/v1/grade", json=REQUEST, headers={"authorization": "Bearer right"})
        probe = await grader.get("/ready")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
    assert (allowed.status_code, probe.status_code) == (200, 200)
