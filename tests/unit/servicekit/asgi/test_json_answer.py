"""A whole JSON answer, written at once past ASGI or sent through it: what arrives is the same."""

from __future__ import annotations

import asyncio

import pytest
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import Message, Receive, Scope, Send

from servicekit.asgi.connection import ClientConnection, client_connection
from servicekit.asgi.exchange import Exchange, ExchangeMiddleware, exchange_of
from servicekit.asgi.json_answer import answer_json, encoded_headers
from servicekit.asgi.metrics import HttpMetrics
from tests.support.serving import serving

HEAD = b"POST /x HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n"
BODY = b'{"text":"Citt\xc3\xa0"}'


class _Told:
    """Answers one JSON object to everything, and remembers what became of the exchange.

    Args:
        through_layer: Whether a layer stands between, which may have headers to add.
    """

    def __init__(self, *, through_layer: bool = False) -> None:
        self._through_layer = through_layer
        self.exchange: Exchange | None = None
        self.connection: ClientConnection | None = None

    @property
    def was_written_past_asgi(self) -> bool:
        """Whether uvicorn did not look at the framing."""
        return self.connection is not None and self.connection.chunked_encoding is None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def layer(message: Message) -> None:
            await send(message)

        await receive()
        connection = client_connection(scope)
        assert connection is not None
        self.exchange, self.connection = exchange_of(scope), connection
        sender = layer if self._through_layer else send
        await answer_json(scope, sender, {"text": "Città"}, {"x-model-notice": "out_of_domain"})


async def _answered(requests: bytes, app: _Told) -> bytes:
    """Send bytes and return all that comes until the server closes the connection, or is silent."""
    layers = [Middleware(ExchangeMiddleware, metrics=HttpMetrics()), Middleware(lambda _next: app)]
    outer = FastAPI(middleware=layers)
    async with serving(outer) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(requests)
        received = b""
        try:
            async with asyncio.timeout(0.2):
                while part := await reader.read(65536):
                    received += part
        except TimeoutError:
            pass
        writer.close()
    return received


async def test_usual_answer_is_written_past_asgi() -> None:
    """Status, framing, the request's id and the answer's own headers are there; the exchange knows that it is over."""
    app = _Told()
    received = await _answered(HEAD + b"x-request-id: req_mine\r\n\r\n", app)
    head, _, body = received.partition(b"\r\n\r\n")
    assert body == BODY
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert {b"content-type: application/json", b"content-length: 17", b"x-request-id: req_mine"} < set(lines)
    assert b"x-model-notice: out_of_domain" in lines
    assert app.was_written_past_asgi
    assert app.exchange is not None
    assert (app.exchange.status, app.exchange.is_complete) == (200, True)
    assert app.exchange.first_byte is not None


@pytest.mark.parametrize(
    ("head", "through_layer", "body"),
    [
        (HEAD + b"connection: close\r\n", False, BODY),
        (HEAD.replace(b"1.1", b"1.0"), False, BODY),
        (HEAD.replace(b"POST", b"HEAD"), False, b""),
        (HEAD, True, BODY),
    ],
    ids=["close", "http-1.0", "head", "layer"],
)
async def test_unusual_answer_goes_through_asgi(head: bytes, through_layer: bool, body: bytes) -> None:
    """Where the connection ends behind the answer, it has no body, or a layer has its say, all see it pass."""
    app = _Told(through_layer=through_layer)
    received = await _answered(head + b"x-request-id: req_mine\r\n\r\n", app)
    assert received.partition(b"\r\n\r\n")[2] == body
    assert b"\r\nx-request-id: req_mine\r\n" in received
    assert not app.was_written_past_asgi


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    """Each answer has the id of its own request."""
    ids = [b"req_%d" % number for number in range(3)]
    received = await _answered(b"".join(HEAD + b"x-request-id: %b\r\n\r\n" % name for name in ids), _Told())
    assert received.count(BODY) == len(ids)
    places = [received.index(b"x-request-id: " + name) for name in ids]
    assert places == sorted(places)


@pytest.mark.parametrize("value", ["a\r\nset-cookie: b", "a\nb", "a\0"])
def test_header_that_would_be_two_is_refused(value: str) -> None:
    """Past ASGI nobody else looks."""
    with pytest.raises(ValueError, match="x-model-notice"):
        encoded_headers({"x-model-notice": value})
    assert encoded_headers({"x-model-notice": "ok"}) == [(b"x-model-notice", b"ok")]
