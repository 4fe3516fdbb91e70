"""What ran: the commit, Python, the platform, the packages and the configuration."""

from __future__ import annotations

import platform
import sys
import time
from pathlib import Path
from typing import Any

from servicekit.version import VERSION

_INFO_SUFFIX = ".dist-info"


class ManifestSource:
    """Knows at the start what must be known then, and makes the manifest when it is wanted.

    The checkout may have moved on by then.

    Args:
        run_id: Of the run.
        service: What runs.
        config: Its settings, without secrets.
        root: The checkout.
    """

    def __init__(self, run_id: str, service: str, config: dict[str, Any], root: Path) -> None:
        started_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._head = {"run_id": run_id, "service": service, "started_at": started_at}
        self._git_sha = git_sha(root)
        self._config = config

    def __call__(self) -> dict[str, Any]:
        """Return the manifest."""
        return {
            **self._head,
            "version": VERSION,
            "git_sha": self._git_sha,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "dependencies": installed_packages(),
            "config": self._config,
        }


def installed_packages() -> dict[str, str]:
    """Return the versions of the installed packages, by name.

    From the names of their folders (https://packaging.python.org/en/latest/specifications/binary-distribution-format/):
    to read each one's metadata takes a tenth of a second, in which requests wait for the interpreter.
    """
    found: dict[str, str] = {}
    for place in sys.path:
        for folder in Path(place).glob(f"*{_INFO_SUFFIX}"):
            name, _, version = folder.name.removesuffix(_INFO_SUFFIX).partition("-")
            found.setdefault(name.replace("_", "-"), version)  # the first place is the one that is imported from
    return dict(sorted(found.items(), key=lambda package: package[0].lower()))


def git_sha(root: Path) -> str | None:
    """Return the commit that is checked out, without asking git; None where there is no repository."""
    try:
        folder = root / ".git"
        if folder.is_file():  # a worktree: its folder lies elsewhere
            folder = root / folder.read_text("utf-8").removeprefix("gitdir:").strip()
        head = (folder / "HEAD").read_text("utf-8").strip()
        if not head.startswith("ref: "):
            return head
        common = folder / "commondir"
        shared = folder / common.read_text("utf-8").strip() if common.is_file() else folder
        return _commit_of(shared, head.removeprefix("ref: "))
    except OSError:
        return None


def _commit_of(folder: Path, reference: str) -> str | None:
    loose = folder / reference
    if loose.is_file():
        return loose.read_text("utf-8").strip()
    for line in (folder / "packed-refs").read_text("utf-8").splitlines():
        if line.endswith(f" {reference}"):
            return line.split(" ", 1)[0]
    return None
