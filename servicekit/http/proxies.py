"""Which proxy the environment names for a URL; never one for loopback."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass


def proxy_for(url: str) -> str | None:
    """Return the environment's proxy for a URL; never one for loopback.

    The environment is read once per origin, since this runs for every request.
    """
    parts = urlsplit(url)
    return _proxy_for_origin(parts.scheme, parts.hostname or "")


def forget_environment() -> None:
    """Read the environment anew at the next call."""
    _proxy_for_origin.cache_clear()


@lru_cache(maxsize=1024)
def _proxy_for_origin(scheme: str, host: str) -> str | None:
    if _is_loopback(host) or proxy_bypass(host):
        return None
    return getproxies().get(scheme)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
