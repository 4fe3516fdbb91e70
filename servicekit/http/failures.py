"""The words for every way in which a call can fail, the same for each transport."""

from __future__ import annotations

import os

from servicekit.errors import (
    UpstreamBadResponseError,
    UpstreamError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from servicekit.http.call import Target, Timeouts
from servicekit.secret_mask import known_secrets


def timed_out(target: Target, kind: str, bounds: Timeouts) -> UpstreamTimeoutError:
    """Return the error for a wait that was too long.

    Args:
        target: Who was waited for.
        kind: "connect", "first-token", "idle" or "total".
        bounds: The time-outs of the call; the one of that kind is named.
    """
    seconds = {
        "connect": bounds.connect_seconds,
        "first-token": bounds.first_byte_seconds,
        "idle": bounds.idle_seconds,
        "total": bounds.total_seconds,
    }[kind]
    return UpstreamTimeoutError(f"{target}: the {kind} time-out of {round(seconds, 3):g} s ran out.")


def timed_out_before_answer(target: Target, bounds: Timeouts) -> UpstreamTimeoutError:
    """Return the error for headers that did not come: it is the shorter one of two time-outs that ran out."""
    return timed_out(target, "first-token" if bounds.first_byte_seconds <= bounds.total_seconds else "total", bounds)


def unreachable(target: Target, exc: BaseException) -> UpstreamUnreachableError:
    """Return the error for a connection that could not be made, or that was reset before an answer."""
    return UpstreamUnreachableError(f"{target} cannot be reached ({reason_of(exc)}). {target.unreachable_remedy}")


def closed_without_answer(target: Target) -> UpstreamUnreachableError:
    """Return the error for a connection that was closed before the answer's headers had come."""
    return UpstreamUnreachableError(f"{target} closed the connection without an answer.")


def cut(target: Target) -> UpstreamBadResponseError:
    """Return the error for a body that ends before its announced end."""
    return UpstreamBadResponseError(f"{target} closed the connection in the middle of its answer.", retryable=True)


def not_http(target: Target, reason: str) -> UpstreamBadResponseError:
    """Return the error for bytes that are no HTTP/1.1."""
    return UpstreamBadResponseError(f"{target} answered something that is not HTTP ({reason.lower()}).")


def too_large(target: Target, limit_bytes: int) -> UpstreamBadResponseError:
    """Return the error for a body that is read whole and is larger than allowed."""
    return UpstreamBadResponseError(f"{target} answered more than {limit_bytes} bytes.")


def invalid_address(target: Target) -> UpstreamError:
    """Return the error for a URL that cannot be called."""
    return UpstreamError(f"{target}: the address is not a valid URL. Correct it in the configuration.")


def unsendable(target: Target, problem: str) -> UpstreamError:
    """Return the error for a request that HTTP does not allow, such as a line break in a header."""
    return UpstreamError(f"{target}: the request cannot be sent, {problem}. Correct it in the configuration.")


def reason_of(exc: BaseException) -> str:
    """Return in a few lower-case words why a connection could not be made."""
    os_error = getattr(exc, "os_error", exc)
    number = getattr(os_error, "errno", None)
    if isinstance(number, int) and number > 0:  # asyncio's own text only repeats the address
        return os.strerror(number).lower()
    # The library's text may repeat an address, such as a proxy's with its password.
    return known_secrets().masked(getattr(os_error, "strerror", None) or str(exc) or type(exc).__name__).lower()
