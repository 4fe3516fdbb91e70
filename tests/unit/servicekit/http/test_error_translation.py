"""Every exception of the HTTP library becomes one of ours; proxies are never asked about loopback."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import aiohttp
import pytest

from servicekit.errors import (
    ServiceError,
    UpstreamBadResponseError,
    UpstreamError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from servicekit.http.aiohttp_transport import translate_error
from servicekit.http.call import Target, Timeouts
from servicekit.http.proxies import forget_environment, proxy_for

TARGET = Target("node 'llm'", "http://127.0.0.1:9002/v1")

#: Each exception class of aiohttp's client, and what it becomes.
BECOMES: dict[str, type[ServiceError]] = {
    **dict.fromkeys(
        ["ConnectionTimeoutError", "ServerTimeoutError", "SocketTimeoutError"],
        UpstreamTimeoutError,
    ),
    **dict.fromkeys(
        [
            *("InvalidURL", "InvalidUrlClientError", "InvalidUrlRedirectClientError"),
            *("NonHttpUrlClientError", "NonHttpUrlRedirectClientError"),
        ],
        UpstreamError,
    ),
    **dict.fromkeys(
        [
            *("ClientConnectionError", "ClientConnectionResetError", "ClientConnectorCertificateError"),
            *("ClientConnectorDNSError", "ClientConnectorError", "ClientConnectorSSLError", "ClientOSError"),
            *("ClientProxyConnectionError", "ClientSSLError", "ServerConnectionError", "ServerDisconnectedError"),
            *("ServerFingerprintMismatch", "UnixClientConnectorError"),
        ],
        UpstreamUnreachableError,
    ),
    **dict.fromkeys(
        [
            *("ClientError", "ClientHttpProxyError", "ClientPayloadError", "ClientResponseError"),
            *("ContentTypeError", "RedirectClientError", "TooManyRedirects"),
            *("WSServerHandshakeError",),
        ],
        UpstreamBadResponseError,
    ),
}


def _aiohttp_errors() -> dict[str, type[Exception]]:
    """Return every exception class that aiohttp's client can raise."""
    members = [*inspect.getmembers(aiohttp), *inspect.getmembers(aiohttp.client_exceptions)]
    return {
        name: member for name, member in members if inspect.isclass(member) and issubclass(member, aiohttp.ClientError)
    }


def _instance(error_class: type[Exception]) -> Exception:
    """Return an exception without running its constructor, whose arguments differ from class to class."""

    class Bare(error_class):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            pass

        def __str__(self) -> str:
            return "bare"

    bare: Exception = Bare()
    return bare


def test_every_exception_class_of_aiohttp_is_mapped() -> None:
    """A new aiohttp with a new exception class fails here, so that somebody decides what it means."""
    assert set(_aiohttp_errors()) == set(BECOMES)


@pytest.mark.parametrize("name", sorted(BECOMES))
def test_translate_error_makes_ours_of_each(name: str) -> None:
    """The error that users see has our type, and names the node and its address."""
    error = translate_error(_instance(_aiohttp_errors()[name]), TARGET, Timeouts())
    assert type(error) is BECOMES[name]
    assert str(TARGET) in error.message


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (TimeoutError(), UpstreamTimeoutError),
        (ConnectionResetError(104, "reset"), UpstreamUnreachableError),
        (OSError(113, "no route"), UpstreamUnreachableError),
        (ValueError("bad port"), UpstreamError),
    ],
)
def test_translate_error_makes_ours_of_python_s_own(exc: Exception, expected: type[ServiceError]) -> None:
    """What the library lets through is translated too."""
    assert type(translate_error(exc, TARGET, Timeouts())) is expected


@pytest.mark.parametrize(
    ("bounds", "kind"),
    [
        (Timeouts(first_byte_seconds=1, total_seconds=9), "first-token"),
        (Timeouts(first_byte_seconds=9, total_seconds=1), "total"),
    ],
)
def test_translate_error_names_the_shorter_time_out(bounds: Timeouts, kind: str) -> None:
    """Before an answer it is the first-token or the total time-out that ran out, whichever is shorter."""
    assert f"the {kind} time-out of 1 s" in translate_error(TimeoutError(), TARGET, bounds).message


def test_target_does_not_show_the_user_info_of_its_url() -> None:
    """Every sentence about an upstream names it by this; the URL itself is called as it is."""
    target = Target("node 'llm'", "http://user:hid@den@127.0.0.1:9002/v1")
    assert str(target) == "node 'llm' at http://***@127.0.0.1:9002/v1"
    assert target.url == "http://user:hid@den@127.0.0.1:9002/v1"


def test_translate_error_shows_no_password_of_a_proxy() -> None:
    """What the library says of a proxy repeats its address."""
    error = translate_error(aiohttp.ClientError("http://user:Hidden@proxy:1 says no"), TARGET, Timeouts())
    assert "http://***@proxy:1 says no" in error.message


@pytest.fixture
def environment_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Set a proxy in the environment; what was remembered of it is forgotten before and after."""
    forget_environment()
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "internal.example")
    yield monkeypatch
    forget_environment()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9002/v1",
        "http://127.8.8.8/",
        "http://localhost:9002/",
        "http://llm.localhost/",
        "http://[::1]:9002/",
        "http://internal.example/",
    ],
)
@pytest.mark.usefixtures("environment_proxy")
def test_proxy_for_is_none_for_loopback_and_exceptions(url: str) -> None:
    """Loopback never goes through a proxy, whatever no_proxy says."""
    assert proxy_for(url) is None


@pytest.mark.usefixtures("environment_proxy")
def test_proxy_for_is_the_environment_s_for_others() -> None:
    """An upstream on the internet goes through the proxy that the user has set, per scheme."""
    assert proxy_for("http://api.example/v1") == "http://proxy.example:3128"
    assert proxy_for("https://api.example/v1") is None
