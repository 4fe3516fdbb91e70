"""A file of whole lines that is rotated by its size."""

from __future__ import annotations

import errno
import os
from pathlib import Path


class LineFile:
    """Appends whole lines: what does not fit on the disk is taken back, so no line is ever half there.

    Args:
        path: The newest file; older ones are called `<stem>.1<suffix>`, `<stem>.2<suffix>` and so on, the oldest last.
        max_bytes: A file that would grow beyond this is put aside.
        keep: How many files that were put aside are kept.
    """

    def __init__(self, path: Path, max_bytes: int, keep: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._descriptor: int | None = None
        self._size_bytes = 0

    def append(self, lines: bytes) -> None:
        """Append lines, each with its line feed.

        Raises:
            OSError: They could not be written; nothing of them is there.
        """
        if self._descriptor is not None and self._size_bytes and self._size_bytes + len(lines) > self._max_bytes:
            self._rotate()
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._size_bytes = os.fstat(self._descriptor).st_size
        written = os.write(self._descriptor, lines)
        if written < len(lines):
            os.ftruncate(self._descriptor, self._size_bytes)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        self._size_bytes += written

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _rotate(self) -> None:
        self.close()
        for number in range(self._keep, 0, -1):
            older = self._numbered(number)
            newer = self._numbered(number - 1) if number > 1 else self._path
            if newer.exists():
                newer.replace(older)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.stem}.{number}{self._path.suffix}")
