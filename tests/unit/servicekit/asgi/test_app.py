"""The application that every service starts from: its routes, limits, ids and error bodies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import Response, StreamingResponse

from servicekit.asgi.app import ServiceInfo, create_service_app
from servicekit.asgi.event_stream import open_event_stream
from servicekit.asgi.exchange import call_context
from servicekit.context import current_request_id
from servicekit.errors import OverloadedError, RateLimitedError
from servicekit.settings import ServiceSettings
from tests.support.asgi import Conversation

ClientFor = Callable[..., httpx.AsyncClient]
INFO = ServiceInfo(title="thing", description="Does things.", version="1.2.3")


@asynccontextmanager
async def _no_lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield


def _app(problems: Sequence[str] = (), **settings: Any) -> FastAPI:
    async def readiness() -> Sequence[str]:
        return problems

    app = create_service_app(INFO, ServiceSettings.model_validate(settings), _no_lifespan, readiness)
    _add_routes(app)
    return app


def _add_routes(app: FastAPI) -> None:
    @app.post("/echo")
    async def echo(request: Request) -> dict[str, Any]:
        context = call_context(request.scope)
        return {
            "body": (await request.body()).decode(),
            "id": context.request_id,
            "log_id": current_request_id.get(),
            "left": context.remaining_seconds(),
        }

    @app.get("/fail/{how}")
    async def fail(how: str) -> None:
        raise {
            "busy": OverloadedError("no room", retry_after_seconds=3),
            "limited": RateLimitedError("slow down", retry_after_seconds=3),
            "bug": RuntimeError("secret inner state"),
            "teapot": HTTPException(418, "short and stout"),
        }[how]

    @app.get("/typed")
    async def typed(count: int) -> int:
        return count

    @app.get("/broken-stream")
    async def broken_stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"first"
            raise RuntimeError("broke midway")

        return StreamingResponse(parts())


def _client(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://thing")


async def test_ready_shows_no_password_of_an_address() -> None:
    """It is open without a key, and repeats what other services say of themselves."""
    app = _app(["node 'llm' is not ready: http://user:hidden@upstream:1/v1 cannot be reached"])
    async with _client(app) as client:
        response = await client.get("/ready")
    assert response.json()["problems"] == ["node 'llm' is not ready: http://***@upstream:1/v1 cannot be reached"]


async def test_health_check_tells_what_the_service_is() -> None:
    """OPEA's health check has title, version and description."""
    async with _client(_app()) as client:
        assert (await client.get("/v1/health_check")).json() == {
            "Service Title": "thing",
            "Version": "1.2.3",
            "Service Description": "Does things.",
        }


async def test_ready_is_503_naming_what_is_not_there() -> None:
    """Readiness lists every problem; liveness does not care."""
    async with _client(_app(problems=["node 'llm' is down"])) as client:
        ready, health = await client.get("/ready"), await client.get("/health")
    assert (ready.status_code, ready.json()["problems"]) == (503, ["node 'llm' is down"])
    assert health.status_code == 200


async def test_unknown_path_is_a_404_in_openai_s_shape() -> None:
    """A path that does not exist is named."""
    async with _client(_app()) as client:
        response = await client.get("/nope")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"
    assert "GET /nope" in response.json()["error"]["message"]


async def test_wrong_method_is_a_405_that_names_the_right_one() -> None:
    """The answer says which methods there are, in the body and in Allow."""
    async with _client(_app()) as client:
        response = await client.get("/echo")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.json()["error"]["code"] == "method_not_allowed"
    assert "takes POST" in response.json()["error"]["message"]


async def test_bad_query_is_a_400_that_names_it() -> None:
    """FastAPI's own validation takes our shape."""
    async with _client(_app()) as client:
        response = await client.get("/typed", params={"count": "many"})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "query.count")


async def test_http_exception_keeps_its_status_in_our_body() -> None:
    """What a library raises as an HTTPException has OpenAI's body too."""
    async with _client(_app()) as client:
        response = await client.get("/fail/teapot")
    assert (response.status_code, response.json()["error"]["message"]) == (418, "short and stout")


@pytest.mark.parametrize(("how", "status"), [("busy", 503), ("limited", 429)])
async def test_error_carries_retry_after(how: str, status: int) -> None:
    """An error that passes says when to try again, and is not marked as final."""
    async with _client(_app()) as client:
        response = await client.get(f"/fail/{how}")
    assert (response.status_code, response.headers["retry-after"]) == (status, "3")
    assert "x-should-retry" not in response.headers


async def test_unexpected_error_is_a_500_without_inner_detail(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the trace, the caller has a sentence and is told not to retry."""
    async with _client(_app()) as client:
        response = await client.get("/fail/bug")
    assert (response.status_code, response.json()["error"]["code"]) == (500, "internal_error")
    assert "secret" not in response.text
    assert response.headers["x-should-retry"] == "false"
    assert "secret inner state" in caplog.text


async def test_answer_that_breaks_after_its_start_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    """Once the status is out the connection is cut: no complete body is claimed."""
    conversation = Conversation(method="GET", path="/broken-stream")
    with pytest.raises(BaseException):  # noqa: B017, PT011 - the server closes the connection, whatever it is
        await conversation.run(_app())
    assert conversation.body == b"first"
    assert not conversation.is_complete
    assert "broke after it had started" in caplog.text


async def test_request_id_of_the_caller_is_answered_and_logged() -> None:
    """The caller's id is on the response, in the context and in the log's variable."""
    async with _client(_app()) as client:
        response = await client.post("/echo", headers={"x-request-id": "mine-1"})
    answer = response.json()
    assert response.headers["x-request-id"] == answer["id"] == answer["log_id"] == "mine-1"


async def test_request_id_is_made_where_there_is_none() -> None:
    """Every answer has an id, errors too, and no two have the same."""
    async with _client(_app()) as client:
        first, second = await client.post("/echo"), await client.get("/nope")
    assert first.headers["x-request-id"].startswith("req_")
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


async def test_request_id_does_not_leak_out_of_its_request() -> None:
    """After a request the log's variable is what it was."""
    await Conversation(path="/echo", headers={"x-request-id": "mine-1"}).run(_app())
    assert current_request_id.get() == "-"


@pytest.mark.parametrize(("header", "left"), [("1500", 1.5), ("soon", None), ("-5", None), (None, None)])
async def test_deadline_comes_from_the_timeout_header(header: str | None, left: float | None) -> None:
    """What the caller has left is the request's deadline; what is no number is ignored."""
    headers = {"x-request-timeout-ms": header} if header is not None else {}
    async with _client(_app()) as client:
        answer = (await client.post("/echo", headers=headers)).json()
    assert answer["left"] == (pytest.approx(left, abs=0.5) if left is not None else None)


async def test_announced_body_beyond_the_limit_is_a_413() -> None:
    """The length that is announced is enough to refuse."""
    async with _client(_app(max_body_bytes=1_000)) as client:
        response = await client.post("/echo", content=b"x" * 1_001)
        allowed = await client.post("/echo", content=b"x" * 1_000)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "payload_too_large")
    assert "1000 bytes" in response.json()["error"]["message"]
    assert "MAX_BODY_BYTES" in response.json()["error"]["message"]
    assert allowed.status_code == 200


async def test_chunked_body_beyond_the_limit_is_a_413() -> None:
    """A body that announces nothing is refused once it is too long."""
    conversation = Conversation([b"x" * 600, b"x" * 600, b"x"], path="/echo")
    await conversation.run(_app(max_body_bytes=1_000))
    assert conversation.status == 413


async def test_chunked_body_within_the_limit_is_read() -> None:
    """The parts of a body are put together."""
    conversation = Conversation([b"ab", b"cd"], path="/echo")
    await conversation.run(_app(max_body_bytes=1_000))
    assert conversation.status == 200
    assert b'"abcd"' in conversation.body


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Bearer "}, 401),
        ({"authorization": "Bearer schlüssel".encode().decode("latin-1")}, 401),
        ({"authorization": "Bearer two"}, 200),
        ({"authorization": "bearer two"}, 200),
        ({"authorization": "Basic b3RoZXI=", "api-key": "one"}, 200),
        ({"api-key": "one"}, 200),
    ],
)
async def test_api_keys_let_only_known_ones_in(headers: dict[str, str], status: int) -> None:
    """A request needs one of the keys, as a bearer token or as api-key."""
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    async with _client(_app(api_keys="one,two")) as client:
        response = await client.post("/echo", headers=encoded)  # type: ignore[arg-type] # bytes are fine
    assert response.status_code == status
    if status == 401:
        assert response.json()["error"]["code"] == "invalid_api_key"
        assert "wrong" not in response.text


@pytest.mark.parametrize("path", ["/health", "/ready", "/v1/health_check"])
async def test_probes_need_no_key(path: str) -> None:
    """Supervisors and load balancers have none."""
    async with _client(_app(api_keys="one")) as client:
        assert (await client.get(path)).status_code == 200
        assert (await client.get("/metrics")).status_code == 401


async def test_cors_is_off_unless_origins_are_named() -> None:
    """A browser of another origin is let in only where the settings name it."""
    headers = {"origin": "http://a.example"}
    async with _client(_app()) as closed, _client(_app(cors_origins="http://a.example")) as opened:
        assert "access-control-allow-origin" not in (await closed.get("/health", headers=headers)).headers
        answer = await opened.get("/health", headers=headers)
    assert answer.headers["access-control-allow-origin"] == "http://a.example"


async def test_metrics_count_requests_by_route_and_status() -> None:
    """Known routes are labels, invented paths are not, and the gauge is back to the one asking."""
    async with _client(_app()) as client:
        await client.post("/echo")
        await client.get("/fail/busy")
        await client.get("/wp-admin.php")
        text = (await client.get("/metrics")).text
    assert 'http_requests_total{handler="/echo",method="POST",status="200"} 1.0' in text
    assert 'handler="/fail/{how}",method="GET",status="503"' in text
    assert 'handler="unknown",method="GET",status="404"' in text
    assert "wp-admin" not in text
    assert "http_requests_in_flight 1.0" in text


async def test_statistics_have_opea_s_figures_for_each_route() -> None:
    """p50, p99 and average in seconds, for the whole answer and its first byte."""
    async with _client(_app()) as client:
        await client.post("/echo")
        figures = (await client.get("/v1/statistics")).json()["/echo"]
    assert set(figures) == {
        *("p50_latency", "p99_latency", "average_latency"),
        *("p50_latency_first_token", "p99_latency_first_token", "average_latency_first_token"),
    }
    assert 0 < figures["p50_latency"] < 5


async def test_server_errors_are_logged_with_their_code(caplog: pytest.LogCaptureFixture) -> None:
    """Each answer of 500 and above leaves a line."""
    with caplog.at_level(logging.WARNING):
        async with _client(_app()) as client:
            await client.get("/fail/busy")
    assert "answered 503 overloaded: no room" in caplog.text


@pytest.mark.parametrize("value", ["9" * 400, "abc", "-5", ""])
async def test_time_out_that_nobody_means_is_none(value: str) -> None:
    """No number of milliseconds, however strange, breaks a request."""
    conversation = Conversation(method="GET", path="/health", headers={"x-request-timeout-ms": value})
    await conversation.run(_app())
    assert conversation.status == 200


async def test_client_that_aborts_its_upload_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """There is nobody to answer: no 500, no trace, counted as 499."""
    app = _app()
    conversation = Conversation((), path="/echo", headers={"content-length": "1000"})
    conversation.leave()
    with caplog.at_level(logging.INFO):
        await conversation.run(app)
    assert conversation.sent == []
    assert "ERROR" not in caplog.text
    async with _client(app) as client:
        assert 'handler="/echo",method="POST",status="499"} 1.0' in (await client.get("/metrics")).text


async def test_client_that_leaves_midway_is_counted_as_499() -> None:
    """The status that was sent is not the end of the story."""
    app = _app()

    @app.get("/long")
    async def long(request: Request) -> Response:
        async def events() -> AsyncGenerator[bytes]:
            yield b"data: 1\n\n"
            await asyncio.Event().wait()

        return await open_event_stream(request.scope, request.receive, events())

    conversation = Conversation(method="GET", path="/long")
    running = asyncio.create_task(conversation.run(app))
    await conversation.news.wait()
    conversation.leave()
    await running
    async with _client(app) as client:
        assert 'handler="/long",method="GET",status="499"} 1.0' in (await client.get("/metrics")).text
