"""Which URLs go through the transport of our own, taken apart once and remembered."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from servicekit.http.proxies import proxy_for

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
#: What RFC 3986 allows in a path and query; anything else is quoted by aiohttp's URL library.
_RESOURCE = re.compile(r"(/[A-Za-z0-9\-._~!$&'()*+,;=:@/%]*)?(\?[A-Za-z0-9\-._~!$&'()*+,;=:@/?%]*)?")
_DOT_SEGMENT = re.compile(r"/\.\.?(/|$)")
_DEFAULT_PORT = 80


class Address(NamedTuple):
    """A URL's parts, as a request needs them.

    Attributes:
        host: A name or an IP address, IPv6 without brackets.
        port: The TCP port.
        host_header: The value of `Host`, IPv6 in brackets, without the default port.
        resource: Path and query, in the form of RFC 9112, section 3.2.1.
    """

    host: str
    port: int
    host_header: str
    resource: str


def direct_address(url: str) -> Address | None:
    """Return a URL's parts; None if aiohttp shall call it.

    That is so for https, a proxy, credentials in the URL, a host or path that must be converted first, and for what
    is no URL at all.
    """
    try:
        parts = urlsplit(url)
        port = _DEFAULT_PORT if parts.port is None else parts.port
    except ValueError:
        return None
    host = parts.hostname
    if parts.scheme != "http" or not host or port == 0 or parts.username is not None or "#" in url or proxy_for(url):
        return None
    shown = _host_as_sent(host)
    resource = url.partition("://")[2][len(parts.netloc) :]
    if shown is None or not _RESOURCE.fullmatch(resource) or _DOT_SEGMENT.search(resource.partition("?")[0]):
        return None
    if not resource.startswith("/"):
        resource = "/" + resource
    return Address(host, port, shown if port == _DEFAULT_PORT else f"{shown}:{port}", resource)


def _host_as_sent(host: str) -> str | None:
    if ":" not in host:
        return host if _NAME.fullmatch(host) else None
    return f"[{host}]" if is_ip_address(host) and "%" not in host else None


def is_ip_address(host: str) -> bool:
    """Return whether a host needs no resolving."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
