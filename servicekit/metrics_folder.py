"""Where several processes keep their metrics so that one page can sum them. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

#: Names the folder; must be in the environment before prometheus_client is imported.
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def forget_process(folder: Path, pid: int) -> None:
    """Remove the gauges of a process that died; what it counted stays."""
    for file in folder.glob(f"gauge_*_{pid}.db"):
        file.unlink(missing_ok=True)
