"""Names of request headers that a node may get from the caller."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

#: RFC 9110's token, https://www.rfc-editor.org/rfc/rfc9110#name-tokens
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: About one connection or one body, or written by the gateway itself.
_NOT_TO_PASS = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "upgrade"),
        *("transfer-encoding", "host", "content-length", "content-type", "content-encoding", "accept-encoding"),
        *("x-request-id", "x-request-timeout-ms"),
    }
)


def _header_name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"'{name}' is no header's name; write one such as 'x-tenant'.")
    if name.lower() in _NOT_TO_PASS:
        raise ValueError(f"'{name}' is about one connection, or set by the gateway itself; remove it.")
    return name.lower()


#: A header that can be passed on, in lower case.
HeaderName = Annotated[str, AfterValidator(_header_name)]
