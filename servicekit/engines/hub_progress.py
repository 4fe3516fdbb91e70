"""How far a download is: on a terminal as a bar, in a log as lines, and for `up`, which looks at the files.

Imports nothing heavy, since `up` does.
"""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from servicekit.engines.hub_reference import cache_folder

_log = logging.getLogger(__name__)

_LINE_SECONDS = 10.0
_BAR_SECONDS = 0.1
_BAR_CHARS = 30
#: A part file that was written to within so many seconds belongs to a download that goes on.
_FRESH_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a download.

    Attributes:
        status: What is being done, such as "downloading".
        completed: Bytes that are there.
        total: Bytes in all; None if nobody says.
        sha256: What the file must have, if known.
    """

    status: str
    completed: int = 0
    total: int | None = None
    sha256: str | None = None

    def __str__(self) -> str:
        if not self.total and not self.completed:
            return ""
        if not self.total:
            return f"{megabytes(self.completed)} MB"
        share = 100 * self.completed // self.total
        return f"{megabytes(self.completed)} of {megabytes(self.total)} MB ({share} %)"


class ProgressReport:
    """Shows a download to whoever started the process.

    Args:
        name: What is downloaded.
        screen: Gets a bar if it is a terminal, else the log gets a line every ten seconds; standard error if absent.
    """

    def __init__(self, name: str, screen: TextIO | None = None) -> None:
        self._name = name
        self._screen = screen or sys.stderr
        self._has_bar = self._screen.isatty()
        self._shown_at = 0.0
        self._status = ""
        self._is_line_open = False

    def show(self, progress: Progress) -> None:
        """Tell of a moment, unless the last one was a moment ago and of the same kind."""
        now = time.monotonic()
        pause = _BAR_SECONDS if self._has_bar else _LINE_SECONDS
        if progress.status == self._status and now - self._shown_at < pause:
            return
        self._shown_at, self._status = now, progress.status
        if self._has_bar:
            self._screen.write(f"\r{bar(self._name, progress)}\x1b[K")
            self._screen.flush()
            self._is_line_open = True
        else:
            _log.info("%s", f"{self._name}: {progress.status} {progress}".rstrip())

    def end(self) -> None:
        """Leave the terminal on a new line."""
        if self._is_line_open:
            self._screen.write("\n")
            self._screen.flush()


def bar(name: str, progress: Progress) -> str:
    """Return one line: the name, a bar and the numbers."""
    if not progress.total:
        return f"{name}: {progress.status} {progress}".rstrip()
    done = min(_BAR_CHARS, _BAR_CHARS * progress.completed // progress.total)
    return f"{name} [{'#' * done}{'.' * (_BAR_CHARS - done)}] {progress}"


def megabytes(size_bytes: int) -> str:
    """Return a size as people read it."""
    return f"{size_bytes / 1e6:.1f}" if size_bytes < 10_000_000 else f"{size_bytes / 1e6:.0f}"


def part_file(path: Path, sha256: str | None, total: int | None) -> Path:
    """Return the file in which a download grows; its name says what it will be, so that no other goes on in it."""
    return path.with_name(f"{path.name}.{(sha256 or 'unknown')[:12]}.{total or 0}.part")


def running_downloads(folder: Path | None = None) -> dict[str, Progress]:
    """Return the downloads into this user's cache that somebody is at, by the names of their files."""
    found: dict[str, Progress] = {}
    for part in (folder or cache_folder()).glob("**/*.part"):
        name, *_, total, _ = part.name.rsplit(".", 3)
        try:
            stat = part.stat()
        except FileNotFoundError:  # it has just become whole
            continue
        if time.time() - stat.st_mtime < _FRESH_SECONDS:
            found[name] = Progress("downloading", stat.st_size, int(total) if total.isdigit() else None)
    return found
