"""What `up` says while it waits: which download goes on, and what a service itself says is missing."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TextIO

from megaservice.cli.readiness import NO_ANSWER, NO_ANSWER_YET
from servicekit.engines.hub_progress import Progress, bar, running_downloads

#: So long nothing is said of a service that is not ready: most become it.
_QUIET_SECONDS = 3.0
_LOOK_SECONDS = 0.5
#: Whose reasons are those of the services behind it.
_MIRRORS = ("gateway",)
#: Between two lines about a download where there is no terminal.
_LINE_SECONDS = 10.0


class WaitingNotes:
    """Says each thing once, and draws a bar for a download if it writes to a terminal.

    Args:
        screen: Where to; standard output if absent.
    """

    def __init__(self, screen: TextIO | None = None) -> None:
        self._screen = screen or sys.stdout
        self._is_terminal = self._screen.isatty()
        self._since: dict[str, tuple[str, float]] = {}
        self._said: set[tuple[str, str]] = set()
        self._looked_at = self._drawn_at = 0.0
        self._has_open_line = False
        self._saw_download = False

    def not_ready(self, reasons: Mapping[str, str]) -> None:
        """Say why services are not ready, once they have said the same for a while.

        Args:
            reasons: By the service's name.
        """
        now = time.monotonic()
        for name, reason in reasons.items():
            known, since = self._since.get(name, ("", now))
            self._since[name] = (reason, since if known == reason else now)
            is_telling = NO_ANSWER not in reason and NO_ANSWER_YET not in reason
            if (
                name not in _MIRRORS
                and is_telling
                and now - self._since[name][1] >= _QUIET_SECONDS
                and (name, reason) not in self._said
            ):
                self._said.add((name, reason))
                self.line(f"{name:<8} waits: {reason}")

    def downloads_go_on(self) -> bool:
        """Look whether a model is being fetched, and show how far it is."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            downloads = running_downloads()
            self._saw_download = bool(downloads)
            self._draw(downloads, now)
        return self._saw_download

    def line(self, text: str) -> None:
        """Write a line, below a bar that may stand there."""
        self.end()
        self._screen.write(text + "\n")
        self._screen.flush()

    def end(self) -> None:
        """Leave a bar as it is, the cursor below it."""
        if self._has_open_line:
            self._screen.write("\n")
            self._has_open_line = False

    def _draw(self, downloads: Mapping[str, Progress], now: float) -> None:
        if not downloads:
            return
        if self._is_terminal:
            shown = "; ".join(bar(name, progress) for name, progress in downloads.items())
            self._screen.write(f"\r{shown}\x1b[K")
            self._screen.flush()
            self._has_open_line = True
        elif now - self._drawn_at >= _LINE_SECONDS:
            self._drawn_at = now
            for name, progress in downloads.items():
                self.line(f"{name} is downloaded: {progress}")
