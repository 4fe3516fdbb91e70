"""The folder of one run: `manifest.json` and `interactions.jsonl`, made when there is something to record."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from servicekit.records.line_file import LineFile

MANIFEST = "manifest.json"
INTERACTIONS = "interactions.jsonl"
#: A file of interactions that grew so large is put aside, and so many of those are kept.
_MAX_BYTES = 64 * 1024 * 1024
_KEPT_FILES = 9


def new_run_id() -> str:
    """Return an id that sorts by time, such as `20261121-134501-5f3a9c`."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"


class RunFolder:
    """Writes one run's records; made for one thread.

    Args:
        path: The folder; made with its manifest before the first line.
        manifest: Makes the manifest.
        max_bytes: Of one file of interactions.
        kept_files: How many that were put aside are kept.
    """

    def __init__(
        self,
        path: Path,
        manifest: Callable[[], dict[str, Any]],
        max_bytes: int = _MAX_BYTES,
        kept_files: int = _KEPT_FILES,
    ) -> None:
        self._path = path
        self._manifest = manifest
        self._lines = LineFile(path / INTERACTIONS, max_bytes, kept_files)
        self._is_made = False
        self._known: dict[str, Any] | None = None

    def prepare(self) -> None:
        """Make the manifest, which takes a tenth of a second; it is written with the first line."""
        self._known = self._manifest()

    def append(self, lines: bytes) -> None:
        """Append whole lines.

        Raises:
            OSError: They could not be written; nothing of them is there.
        """
        if not self._is_made:
            self._make()
            self._is_made = True
        self._lines.append(lines)

    def close(self) -> None:
        """Close the file of lines."""
        self._lines.close()

    def _make(self) -> None:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        written = self._path / f"{MANIFEST}.new"
        written.write_bytes(orjson.dumps(self._known or self._manifest(), option=orjson.OPT_INDENT_2))
        written.replace(self._path / MANIFEST)
