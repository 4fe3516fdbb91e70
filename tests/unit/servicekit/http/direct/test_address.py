"""Which URLs are ours to call, and what is left to aiohttp."""

from __future__ import annotations

import pytest

from servicekit.http.direct.address import Address, direct_address
from servicekit.http.proxies import forget_environment


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:9002/v1/chat", Address("127.0.0.1", 9002, "127.0.0.1:9002", "/v1/chat")),
        ("HTTP://LLM_service:80", Address("llm_service", 80, "llm_service", "/")),
        ("http://localhost?a=b%20c", Address("localhost", 80, "localhost", "/?a=b%20c")),
        ("http://[::1]:9002/x?y=/../", Address("::1", 9002, "[::1]:9002", "/x?y=/../")),
    ],
)
def test_direct_address_takes_plain_urls_apart(url: str, expected: Address) -> None:
    """Host and port to connect to, `Host` and path to send."""
    assert direct_address(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example/v1",
        "http://user:secret@127.0.0.1/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/a\r\nb",
        "http://127.0.0.1/città",
        "http://127.0.0.1/a/../b",
        "http://127.0.0.1/a#b",
        "http://città.example/",
        "http://[fe80::1%25eth0]/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:port/",
        "http://127.0.0.1:0/",
        "http://[::1/",
        "http:///x",
        "ftp://127.0.0.1/",
        "",
    ],
)
def test_direct_address_leaves_the_rest(url: str) -> None:
    """What must be converted first, is encrypted, or is no URL, is not ours."""
    assert direct_address(url) is None


def test_direct_address_leaves_what_goes_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback never does."""
    forget_environment()
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    try:
        assert direct_address("http://api.example/") is None
        assert direct_address("http://localhost/") is not None
    finally:
        forget_environment()
