"""URLs, paths and names: which are taken, and what is said of the others."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from megaservice.pipeline.values import EndpointPath, FieldName, PipelineName, Url


def _refusal(kind: object, text: str) -> str:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(text)
    (error,) = caught.value.errors()
    return str(error["ctx"]["error"])


@pytest.mark.parametrize("url", ["http://a", "https://a.b:443/x?y=1", "http://[::1]:9002/v1", "http://a:65535/"])
def test_url_that_can_be_called_is_taken(url: str) -> None:
    """With or without port, path and query."""
    assert TypeAdapter(Url).validate_python(url) == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:90030/x", "has no port from 1 to 65535"),
        ("http://a:0/x", "has no port from 1 to 65535"),
        ("http://a:b/x", "has no port from 1 to 65535"),
        ("http://[::1/x", "is no URL (Invalid IPv6 URL)"),
        ("http://:80/x", "is no URL"),
        ("http://a b/", "is no URL"),
        ("ftp://a/", "is no URL"),
        ("", "is no URL"),
        ("http://0.0.0.0:9000/", "is an address to listen on"),
        ("http://[::]:9000/", "is an address to listen on"),
    ],
)
def test_url_that_cannot_be_called_is_refused(url: str, reason: str) -> None:
    """It is said what is wrong, and never by a traceback."""
    assert reason in _refusal(Url, url)


@pytest.mark.parametrize(
    "path",
    [
        *("/health", "/healthz", "/ready", "/metrics", "/docs", "/redoc", "/openapi.json", "/models", "/v1/models"),
        *("/v1/health_check", "/v1/statistics", "/v1/list_service", "/v1/list_parameters", "/v1/pipelines"),
        *("/v1/models/x", "/v1/pipelines/chat", "/health/", "/docs/oauth2-redirect"),
    ],
)
def test_endpoint_path_of_the_gateway_itself_is_refused(path: str) -> None:
    """A pipeline there would never be asked, or would hide what operators rely on."""
    assert "that is a route of the gateway itself" in _refusal(EndpointPath, path)


@pytest.mark.parametrize("path", ["/v1/chat", "/", "/v1/modelsoup", "/v1/chat/completions", "/health-talk"])
def test_endpoint_path_that_is_free_is_taken(path: str) -> None:
    """Also one that only begins like a route of the gateway."""
    assert TypeAdapter(EndpointPath).validate_python(path) == path


@pytest.mark.parametrize("path", ["/a b", "/a?b=c", "/a#b", "/{name}"])
def test_endpoint_path_with_signs_that_do_not_belong_in_it_is_refused(path: str) -> None:
    """A route could never match them, or would match too much."""
    assert "is no path; write one such as '/v1/chat'" in _refusal(EndpointPath, path)


@pytest.mark.parametrize(
    ("kind", "text", "remedy"),
    [
        (PipelineName, "My Pipeline!", "write 'my-pipeline'."),
        (PipelineName, "--", "write 'my-pipeline'."),
        (FieldName, "my grade", "write 'my_grade'."),
        (FieldName, "1st", "write 'st'."),
    ],
)
def test_name_that_cannot_be_one_is_refused_with_one_that_can(kind: object, text: str, remedy: str) -> None:
    """The remedy passes the same check."""
    assert remedy in _refusal(kind, text)
    TypeAdapter(kind).validate_python(remedy.split("'")[1])
