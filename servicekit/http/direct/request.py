"""The bytes of a request's head (RFC 9112, sections 2 to 6), written in one go."""

from __future__ import annotations

from collections.abc import Mapping

from servicekit.http.call import Target
from servicekit.http.direct.address import Address
from servicekit.http.failures import unsendable
from servicekit.http.header_check import check_name, check_value, is_token
from servicekit.version import VERSION

#: Sent unless the caller names them. Nothing is asked for compressed: services answer on the same machine or network.
_DEFAULTS = {"accept": "*/*", "accept-encoding": "identity", "user-agent": f"megaservice/{VERSION}"}
#: How a body is announced is decided here, never by a caller.
_FRAMING = frozenset({"content-length", "transfer-encoding"})
#: Header names that change more than a line of the head; all others are only written.
_SPECIAL = frozenset({"host", "connection", *_DEFAULTS, *_FRAMING})
#: Methods whose requests have a body by nature: its absence is announced, too (RFC 9110, section 8.6).
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
#: Names that were checked once. Callers use a handful; more than this is somebody else's input.
_MOST_KNOWN_NAMES = 256
_known_names: set[str] = set()


class RequestWriter:
    """Writes the heads of requests to one address.

    Args:
        address: Where they go.
    """

    __slots__ = ("_address", "_starts")

    def __init__(self, address: Address) -> None:
        self._address = address
        self._starts: dict[str, str] = {}

    def head(self, method: str, headers: Mapping[str, str], body: bytes | None, target: Target) -> tuple[bytes, bool]:
        """Return a head, up to and including its empty line, and whether it asks for the connection's end.

        Args:
            method: "GET", "POST", ...
            headers: Of the caller; they replace the defaults.
            body: What will follow.
            target: Whom an error names.

        Raises:
            UpstreamError: HTTP does not allow the method or one of the headers.
        """
        lines = self._starts.get(method) or self._start(method, target)
        for name, value in headers.items():
            if name not in _known_names and not _learn(name, target):
                return self._unusual_head(method, headers, body, target)
            if not (value.isascii() and value.isprintable()):
                check_value(name, value, target)
            lines += f"{name}: {value}\r\n"
        return (lines + _framing(method, headers, body)).encode(), False

    def _start(self, method: str, target: Target) -> str:
        """Return the lines that every usual request of a method begins with."""
        start = self._request_line(method, target) + f"host: {self._address.host_header}\r\n" + _lines(_DEFAULTS)
        if len(self._starts) < len(_WITH_BODY) + 8:
            self._starts[method] = start
        return start

    def _request_line(self, method: str, target: Target) -> str:
        if not is_token(method):
            raise unsendable(target, f"because {method!r} is no method")
        return f"{method} {self._address.resource} HTTP/1.1\r\n"

    def _unusual_head(
        self, method: str, headers: Mapping[str, str], body: bytes | None, target: Target
    ) -> tuple[bytes, bool]:
        """Write a head whose headers replace defaults or ask for the connection's end."""
        given: dict[str, str] = {}
        for name, value in headers.items():
            check_name(name, target)
            check_value(name, value, target)
            given[name.lower()] = value
        if not _FRAMING.isdisjoint(given):
            raise unsendable(target, "because how its body is framed is not for a header to say")
        fields = {"host": self._address.host_header, **_DEFAULTS, **given}
        closes = "close" in [option.strip().lower() for option in given.get("connection", "").split(",")]
        text = self._request_line(method, target) + _lines(fields) + _framing(method, given, body)
        return text.encode(), closes


def _learn(name: str, target: Target) -> bool:
    """Check a name that was not seen before; return False if a head with it is written in the long way."""
    if name.lower() in _SPECIAL:
        return False
    check_name(name, target)
    if len(_known_names) < _MOST_KNOWN_NAMES:
        _known_names.add(name)
    return True


def _framing(method: str, headers: Mapping[str, str], body: bytes | None) -> str:
    """Return the lines that say how long the body is, and the head's end."""
    if body is None:
        return "content-length: 0\r\n\r\n" if method in _WITH_BODY else "\r\n"
    if "content-type" in headers or any(name.lower() == "content-type" for name in headers):
        return f"content-length: {len(body)}\r\n\r\n"
    return f"content-type: application/octet-stream\r\ncontent-length: {len(body)}\r\n\r\n"


def _lines(fields: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items())
