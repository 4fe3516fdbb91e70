"""Which header fields may be sent (RFC 9110, sections 5.1 and 5.5): no value can end its line."""

from __future__ import annotations

import re
from collections.abc import Mapping

from servicekit.http.call import Target
from servicekit.http.failures import unsendable

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: HTAB and everything but control characters.
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")


def is_token(text: str) -> bool:
    """Return whether a text may be a method or a header's name."""
    return _TOKEN.fullmatch(text) is not None


def is_value(text: str) -> bool:
    """Return whether a text may be a header's value."""
    return (text.isascii() and text.isprintable()) or _VALUE.fullmatch(text) is not None


def check_headers(headers: Mapping[str, str], target: Target) -> None:
    """Refuse headers that HTTP does not allow.

    Raises:
        UpstreamError: A name is no token, or a value has a control character in it, a line break above all.
    """
    for name, value in headers.items():
        check_name(name, target)
        check_value(name, value, target)


def check_name(name: str, target: Target) -> None:
    """Refuse a name that is no token; raises as `check_headers` does."""
    if not is_token(name):
        raise unsendable(target, f"because {name!r} is no name of a header")


def check_value(name: str, value: str, target: Target) -> None:
    """Refuse a value with control characters, without repeating it: it may be a key; raises as `check_headers`."""
    if not is_value(value):
        raise unsendable(target, f"because the value of its header '{name}' has a line break or control character")
