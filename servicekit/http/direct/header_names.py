"""Header names in lower case, decoded once and not for each answer."""

from __future__ import annotations

#: Bounded, since upstreams choose the names.
_MOST_NAMES = 512

#: By the bytes that came; looked into before `learned` is called.
known_names: dict[bytes, str] = {}


def learned(name: bytes) -> str:
    """Return a name that is not known yet, and know it from now on."""
    lower = name.decode("utf-8", "surrogateescape").lower()
    if len(known_names) < _MOST_NAMES:
        known_names[name] = lower
    return lower
