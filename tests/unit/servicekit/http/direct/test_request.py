"""The bytes of a request's head."""

from __future__ import annotations

import pytest

from servicekit.errors import UpstreamError
from servicekit.http.call import Target
from servicekit.http.direct.address import Address
from servicekit.http.direct.request import RequestWriter
from servicekit.version import VERSION

TARGET = Target("node 'llm'", "http://127.0.0.1:9002/v1")
WRITER = RequestWriter(Address("127.0.0.1", 9002, "127.0.0.1:9002", "/v1"))
DEFAULTS = f"accept: */*\r\naccept-encoding: identity\r\nuser-agent: megaservice/{VERSION}\r\n".encode()


def test_head_of_a_usual_request() -> None:
    """Request line, host, defaults, the caller's headers, length, empty line."""
    head = WRITER.head("POST", {"content-type": "application/json", "x-id": "a b"}, b"{}", TARGET)
    assert head == (
        b"POST /v1 HTTP/1.1\r\nhost: 127.0.0.1:9002\r\n"
        + DEFAULTS
        + b"content-type: application/json\r\nx-id: a b\r\ncontent-length: 2\r\n\r\n",
        False,
    )


@pytest.mark.parametrize(
    ("method", "body", "end"),
    [("GET", None, b""), ("POST", None, b"content-length: 0\r\n"), ("DELETE", None, b"")],
)
def test_head_announces_a_missing_body_where_one_is_expected(method: str, body: bytes | None, end: bytes) -> None:
    """RFC 9110, section 8.6."""
    head, _ = WRITER.head(method, {}, body, TARGET)
    assert head.endswith(DEFAULTS + end + b"\r\n")


def test_head_lets_callers_replace_defaults() -> None:
    """In any case; each header stands there once."""
    head, closes = WRITER.head("GET", {"HOST": "other", "Accept": "a", "Connection": "x, Close"}, None, TARGET)
    lines = head.decode().lower().split("\r\n")
    assert closes
    assert [line for line in lines if line.startswith(("host", "accept:", "connection"))] == [
        "host: other",
        "accept: a",
        "connection: x, close",
    ]


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET /x HTTP/1.1\r\n", {}),
        ("GET", {"content-length": "5"}),
        ("GET", {"Transfer-Encoding": "chunked"}),
        ("GET", {"x": "secret\r\ny: z"}),
        ("GET", {"Accept": "secret\n"}),
        ("GET", {"x\r\ny": "z"}),
    ],
)
def test_head_refuses_what_would_be_another_request(method: str, headers: dict[str, str]) -> None:
    """And repeats no value, which may be a key."""
    with pytest.raises(UpstreamError, match="the request cannot be sent") as caught:
        WRITER.head(method, headers, None, TARGET)
    assert "secret" not in caught.value.message
