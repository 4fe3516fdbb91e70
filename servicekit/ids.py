"""Identifiers: opaque, unguessable, with OpenAI's prefixes."""

from __future__ import annotations

import re
import secrets

_ALLOWED_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def new_id(prefix: str) -> str:
    """Return `prefix` followed by 24 random hexadecimal digits, such as `chatcmpl-5f...`."""
    return prefix + secrets.token_hex(12)


def request_id_from(header: str | None) -> str:
    """Return the caller's `x-request-id` if it is safe to log and to pass on, else a new one."""
    if header and _ALLOWED_REQUEST_ID.fullmatch(header):
        return header
    return new_id("req_")
