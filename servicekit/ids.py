"""Identifiers: opaque, with OpenAI's prefixes; all but those of requests cannot be guessed."""

from __future__ import annotations

import re
import secrets
from itertools import count

#: Tells the requests of one process from those of all others.
_PROCESS = secrets.token_hex(7)
_numbers = count()
_ALLOWED_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def new_id(prefix: str) -> str:
    """Return `prefix` followed by 24 random hexadecimal digits, such as `chatcmpl-5f...`."""
    return prefix + secrets.token_hex(12)


def request_id_from(header: str | None) -> str:
    """Return the caller's `x-request-id` if it is safe to log and to pass on, else a new one.

    A new one is unique, but not secret: it opens nothing, and randomness costs a system call for each request.
    """
    if header and _ALLOWED_REQUEST_ID.fullmatch(header):
        return header
    return f"req_{_PROCESS}{next(_numbers):010x}"
