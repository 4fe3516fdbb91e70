"""Moves what SQLite's write-ahead logs hold into their databases, beside the work.

SQLite does so by itself within whichever commit fills the log, which then waits for the disk: on a busy disk a run in
some hundred stood still for most of a second.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

#: A log is looked at so often, and emptied when it is larger.
_SECONDS = 1.0
_LOG_BYTES = 4_000_000
_BUSY_SECONDS = 1.0
_log = logging.getLogger(__name__)


class Checkpoints:
    """Empties the logs of some databases for as long as it is entered.

    Args:
        files: The databases.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._is_ending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Checkpoints:
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._is_ending.set()
        assert self._task is not None  # entered  # noqa: S101
        await self._task

    async def _work(self) -> None:
        while not self._is_ending.is_set():
            for file in self._files:
                try:
                    await asyncio.to_thread(_empty_log, file)
                except sqlite3.Error as exc:  # SQLite does it by itself when the log is large
                    _log.warning("the log of %s could not be emptied: %s", file, exc)
            with suppress(TimeoutError):
                async with asyncio.timeout(_SECONDS):
                    await self._is_ending.wait()


def _empty_log(file: Path) -> None:
    log = Path(f"{file}-wal")
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        with closing(sqlite3.connect(file, timeout=_BUSY_SECONDS)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
