"""What travels with a request, ids and log lines."""

from __future__ import annotations

import logging
import time

import pytest

from servicekit.context import CallContext, current_request_id
from servicekit.ids import new_id, request_id_from
from servicekit.logs import configure_logging


def test_headers_hand_on_the_id_alone_without_a_deadline() -> None:
    """No deadline, no time-out header."""
    assert CallContext("req_1").headers() == {"x-request-id": "req_1"}
    assert CallContext("req_1").remaining_seconds() is None


def test_headers_hand_on_what_is_left_of_the_time() -> None:
    """The header is what is left now, in whole milliseconds."""
    headers = CallContext("req_1", deadline=time.monotonic() + 5).headers()
    assert 4_500 < int(headers["x-request-timeout-ms"]) <= 5_000


def test_remaining_seconds_is_never_negative() -> None:
    """A deadline that passed leaves nothing."""
    context = CallContext("req_1", deadline=time.monotonic() - 5)
    assert context.remaining_seconds() == 0.0
    assert context.headers()["x-request-timeout-ms"] == "0"


def test_new_id_has_its_prefix_and_is_not_repeated() -> None:
    """Ids are opaque and differ."""
    first, second = new_id("chatcmpl-"), new_id("chatcmpl-")
    assert first.startswith("chatcmpl-")
    assert len(first) == len("chatcmpl-") + 24
    assert first != second


@pytest.mark.parametrize("header", ["abc", "a.b:c/d+e=f@g-h_1", "x" * 128])
def test_request_id_from_keeps_the_caller_s(header: str) -> None:
    """A harmless id is kept as it is."""
    assert request_id_from(header) == header


@pytest.mark.parametrize("header", [None, "", "x" * 129, "a b", "a\nb", "ü", 'a"b', "a;b"])
def test_request_id_from_makes_one_where_the_caller_s_is_not_safe(header: str | None) -> None:
    """What could break a log line or a header is replaced."""
    assert request_id_from(header).startswith("req_")


def test_configure_logging_puts_service_and_request_id_on_each_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Every line tells whose it is and which request it belongs to."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    token = current_request_id.set("req_42")
    try:
        configure_logging("llm", "WARNING")
        logging.getLogger("some.module").warning("it happened")
        logging.getLogger("some.module").info("nobody sees this")
    finally:
        root.handlers[:], root.level = handlers, level
        current_request_id.reset(token)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].endswith("WARNING llm [req_42] some.module: it happened")
