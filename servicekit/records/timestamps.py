"""Moments as records tell them."""

from __future__ import annotations

from datetime import UTC, datetime


class Timestamps:
    """Writes moments in UTC, such as `2026-11-21T13:45:01.250+00:00` (RFC 3339); made for one thread.

    Moments that are recorded come nearly in order, so what was written last is kept: the whole for all moments of one
    millisecond, date and time of day for those of one second.
    """

    def __init__(self) -> None:
        self._moment_ms: int | None = None
        self._shown = ""
        self._second: int | None = None
        self._shown_second = ""

    def __call__(self, unix_seconds: float) -> str:
        """Return a moment as `datetime` writes it: rounded to the microsecond, then cut off to the millisecond."""
        second = int(unix_seconds)
        moment_ms = second * 1000 + round((unix_seconds - second) * 1_000_000) // 1000
        if moment_ms != self._moment_ms:
            self._moment_ms, self._shown = moment_ms, self._written(*divmod(moment_ms, 1000))
        return self._shown

    def _written(self, second: int, millisecond: int) -> str:
        if second != self._second:
            self._second, self._shown_second = second, datetime.fromtimestamp(second, UTC).isoformat()[:19]
        return f"{self._shown_second}.{millisecond:03d}+00:00"
