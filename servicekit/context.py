"""What travels with a request from service to service: its id and the time it has left."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, NamedTuple

#: Read by the log format, so that every line of a request carries its id.
current_request_id: ContextVar[str] = ContextVar("current_request_id", default="-")

REQUEST_ID_HEADER = "x-request-id"
TIMEOUT_HEADER = "x-request-timeout-ms"


class CallContext(NamedTuple):
    """The id of a request, and when it must be over.

    Attributes:
        request_id: Sent on and answered as `x-request-id`.
        deadline: Monotonic clock, seconds; None if the caller set none.
        request_headers: The caller's headers, names in lower case; a node gets those that its pipeline names.
        configured: What models.json says under `parameters` for the alias that was asked for; an engine sends it.
    """

    request_id: str
    deadline: float | None = None
    request_headers: Mapping[str, str] = MappingProxyType({})
    configured: Mapping[str, Any] = MappingProxyType({})

    def remaining_seconds(self) -> float | None:
        """Return the seconds left, never negative; None without a deadline."""
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - time.monotonic())

    def headers(self) -> dict[str, str]:
        """Return the headers that hand this context on to the next service."""
        if self.deadline is None:
            return {REQUEST_ID_HEADER: self.request_id}
        remaining_ms = int(max(0.0, self.deadline - time.monotonic()) * 1000)
        return {REQUEST_ID_HEADER: self.request_id, TIMEOUT_HEADER: str(remaining_ms)}

    def passed_on(self, names: Iterable[str]) -> dict[str, str]:
        """Return those of the caller's headers that have one of these names.

        Args:
            names: In lower case.
        """
        return {name: self.request_headers[name] for name in names if name in self.request_headers}
