"""Reads log files from their end, and follows them through rotation."""

from __future__ import annotations

import os
from pathlib import Path

_BLOCK_BYTES = 16_384


def last_lines(path: Path, count: int, since_byte: int = 0) -> list[str]:
    """Return the last lines of a file without reading all of it; a missing file has none.

    Args:
        path: The file.
        count: At most this many lines.
        since_byte: What lies before this offset does not count; beyond the file's end it means that the file was
            rotated meanwhile, so everything counts.
    """
    if count < 1:
        return []
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            start = position = since_byte if since_byte <= end else 0
            tail = b""
            position = end
            while position > start and tail.count(b"\n") <= count:
                size = min(_BLOCK_BYTES, position - start)
                position -= size
                file.seek(position)
                tail = file.read(size) + tail
    except FileNotFoundError:
        return []
    return tail.decode(errors="replace").splitlines()[-count:]


def size_of(path: Path) -> int:
    """Return the size of a file in bytes; 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class Follower:
    """Gives what is appended to a log file from now on.

    Args:
        path: The file; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = size_of(path)
        self._inode = self._current_inode()
        self._rest = b""

    def new_lines(self) -> list[str]:
        """Return the complete lines that were added since the last call."""
        if self._was_replaced():
            self._position = 0
            self._inode = self._current_inode()
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                added = file.read()
        except FileNotFoundError:
            return []
        self._position += len(added)
        *lines, self._rest = (self._rest + added).split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def _was_replaced(self) -> bool:
        return self._current_inode() != self._inode or size_of(self._path) < self._position

    def _current_inode(self) -> int:
        try:
            return self._path.stat().st_ino
        except FileNotFoundError:
            return 0
