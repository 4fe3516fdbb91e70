"""Error bodies of every shape in use, as our errors."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from servicekit.errors import ContextLengthError, InvalidRequestError
from servicekit.http.client import Target
from servicekit.http.upstream_errors import complaint_in, error_from_complaint, read_complaint

TARGET = Target("the upstream of model 'm'", "http://u/v1/chat/completions")


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"message": "it broke", "type": "server_error", "code": null}}',
        b'{"error": "it broke"}',
        b'{"error": "it broke", "error_type": "generation"}',
        b'{"detail": "it broke"}',
        b'{"object": "error", "message": "it broke", "code": 40303}',
        b'{"message": "it broke"}',
        b"it broke",
        b"<html><body><h1>it</h1>\n<p>broke</p></body></html>",
    ],
    ids=["openai", "ollama", "tgi", "fastapi", "vllm", "message", "plain", "html"],
)
def test_complaint_keeps_the_upstreams_words_in_every_shape(body: bytes) -> None:
    """Whatever the shape of the body, the client reads the upstream's own words, the place and the status."""
    error = error_from_complaint(read_complaint(body), 500, TARGET)
    assert error.message == f"{TARGET} answered 500: it broke"
    assert (error.status, error.code, error.retryable) == (502, "upstream_error", True)


def test_complaint_of_fastapi_validation_names_each_place() -> None:
    """FastAPI's list of problems becomes one sentence with the places."""
    body = {"detail": [{"loc": ["body", "n"], "msg": "too large"}, {"loc": ["body", "x"], "msg": "missing"}]}
    assert read_complaint(orjson.dumps(body)).text == "body.n: too large; body.x: missing"


def test_complaint_is_cut_when_it_is_long() -> None:
    """A proxy's page of HTML does not fill our logs."""
    assert len(read_complaint(b"x" * 100_000).text) < 500


@pytest.mark.parametrize(
    "error",
    [
        {"message": "request (900 tokens) exceeds", "type": "exceed_context_size_error", "code": 400},
        {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"},
        {
            "message": "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
            "type": "BadRequestError",
        },
        {"message": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048"},
        {"message": "Input validation error: `inputs` must have less than 1024 tokens. Given: 1800"},
    ],
    ids=["llama.cpp", "openai", "vllm", "tgi-sum", "tgi-inputs"],
)
def test_context_too_long_is_recognised_in_every_wording(error: dict[str, Any]) -> None:
    """A prompt that does not fit is OpenAI's `context_length_exceeded`, whoever says so."""
    found = error_from_complaint(read_complaint(orjson.dumps({"error": error})), 400, TARGET)
    assert isinstance(found, ContextLengthError)
    assert (found.status, found.code, found.param) == (400, "context_length_exceeded", "messages")


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (404, {"message": 'model "m" not found, try pulling it first', "type": "api_error"}, True),
        (404, {"message": "The model `m` does not exist.", "type": "NotFoundError", "code": 404}, True),
        (400, {"message": "no", "code": "model_not_found"}, True),
        (404, {"message": "404 page not found"}, False),
        (400, {"message": "the model file was not found"}, False),
    ],
    ids=["ollama", "vllm", "openai", "wrong path", "other 400"],
)
def test_unknown_model_is_told_from_an_unknown_path(status: int, error: dict[str, Any], expected: bool) -> None:
    """Only a 404 that speaks of the model, or OpenAI's code, means that the model is not there."""
    assert read_complaint(orjson.dumps({"error": error})).is_model_unknown(status) is expected


def test_unsupported_input_is_the_requests_fault() -> None:
    """llama.cpp's 500 for an image is a 400: the server is well, the request cannot be served."""
    body = b'{"error": {"code": 500, "message": "image input is not supported - hint: ...", "type": "server_error"}}'
    assert isinstance(error_from_complaint(read_complaint(body), 500, TARGET), InvalidRequestError)


def test_param_of_the_upstream_travels_with_a_400() -> None:
    """OpenAI's `param` names the place in the request that our client sent too."""
    body = b'{"error": {"message": "bad", "type": "invalid_request_error", "param": "top_p", "code": null}}'
    assert error_from_complaint(read_complaint(body), 400, TARGET).param == "top_p"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        ({"message": "slow down", "code": 429}, 429, "rate_limit_exceeded"),
        ({"message": "busy", "code": 503}, 502, "upstream_error"),
        ({"message": "broken", "code": 40303}, 502, "upstream_error"),
        ({"message": "broken"}, 502, "upstream_error"),
    ],
)
def test_error_inside_a_good_answer_takes_the_status_that_it_names(
    error: dict[str, Any], status: int, code: str
) -> None:
    """An error object in a 200 or a stream is mapped by its own number, if that is an HTTP status."""
    complaint = complaint_in({"error": error})
    assert complaint is not None
    found = error_from_complaint(complaint, None, TARGET)
    assert (found.status, found.code) == (status, code)


@pytest.mark.parametrize("document", [{"choices": []}, {"error": None, "choices": []}, [], "text", None])
def test_good_documents_hold_no_complaint(document: object) -> None:
    """`"error": null` beside an answer is not a failure."""
    assert complaint_in(document) is None
