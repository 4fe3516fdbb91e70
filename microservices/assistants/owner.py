"""Whose an object is: the API key's that made it."""

from __future__ import annotations

import hashlib

#: Enough of the digest that no two keys share it.
_HEX_DIGITS = 32


def owner_of_key(key: str) -> str:
    """Return the owner that a key stands for; the store keeps this, never the key."""
    return hashlib.sha256(key.encode()).hexdigest()[:_HEX_DIGITS]
