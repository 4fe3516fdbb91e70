"""What `up` says while it waits."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import pytest

from megaservice.cli.readiness import NO_ANSWER
from megaservice.cli.waiting_notes import WaitingNotes
from servicekit.engines.hub_progress import part_file


class Screen(io.StringIO):
    """A text that may be a terminal."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        """Say so."""
        return self._is_terminal


@pytest.fixture
def growing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a part file in a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "megaservice" / "models" / "maker" / "tiny" / "main"
    folder.mkdir(parents=True)
    part = part_file(folder / "tiny.gguf", "a" * 64, 2_000_000)
    part.write_bytes(bytes(500_000))
    return part


@pytest.mark.parametrize(
    ("is_terminal", "shown"),
    [
        (True, "\rtiny.gguf [#######.......................] 0.5 of 2.0 MB (25 %)\x1b[K\nready\n"),
        (False, "tiny.gguf is downloaded: 0.5 of 2.0 MB (25 %)\nready\n"),
    ],
    ids=["bar", "line"],
)
def test_a_download_is_shown(growing: Path, is_terminal: bool, shown: str) -> None:
    """A bar on a terminal, else a line now and then; what follows stands below."""
    screen = Screen(is_terminal=is_terminal)
    notes = WaitingNotes(screen)
    assert notes.downloads_go_on()
    notes.line("ready")
    assert screen.getvalue() == shown


def test_a_download_that_stopped_long_ago_is_none(growing: Path) -> None:
    """Its part waits for the next start."""
    past = time.time() - 3600
    os.utime(growing, (past, past))
    screen = Screen(is_terminal=False)
    assert not WaitingNotes(screen).downloads_go_on()
    assert screen.getvalue() == ""


def test_a_reason_is_said_once_when_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that there is no server yet, and not what the gateway repeats."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    screen = Screen(is_terminal=False)
    notes = WaitingNotes(screen)
    reasons = {"llm": "pull it", "grader": f"{NO_ANSWER} x yet", "gateway": "node 'llm' is not ready"}
    for _ in range(3):
        notes.not_ready(reasons)
        now += 3.5
    assert screen.getvalue() == "llm      waits: pull it\n"
