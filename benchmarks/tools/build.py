"""Compiles the C tools into an ignored folder, once per change of a source."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_SOURCES = Path(__file__).parent
_BUILD = _SOURCES / "build"
_FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra")


class ToolsUnavailableError(Exception):
    """The tools cannot be compiled here; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The compiled programs."""

    upstream: Path
    load: Path


def build_tools(folder: Path = _BUILD) -> Tools:
    """Compile what is older than its sources.

    Args:
        folder: Where the programs go.

    Raises:
        ToolsUnavailableError: This is not Linux, or there is no working C compiler.
    """
    if not sys.platform.startswith("linux"):
        raise ToolsUnavailableError(
            f"the benchmark's tools use epoll and /proc, so they need Linux, not {sys.platform}."
        )
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise ToolsUnavailableError(
            "the benchmark's tools are written in C, and there is no C compiler here: install one "
            "(Debian and Ubuntu: apt install gcc libc6-dev) or name one with CC=..."
        )
    folder.mkdir(parents=True, exist_ok=True)
    return Tools(_compiled("upstream", compiler, folder), _compiled("load", compiler, folder))


def _compiled(name: str, compiler: str, folder: Path) -> Path:
    program = folder / name
    newest = max(path.stat().st_mtime for path in _SOURCES.glob("*.[ch]"))
    if program.exists() and program.stat().st_mtime > newest:
        return program
    fresh = folder / f"{name}.{os.getpid()}"  # renamed when complete: two runs at once do not see half a program
    command = [compiler, *_FLAGS, "-o", str(fresh), str(_SOURCES / f"{name}.c")]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise ToolsUnavailableError(f"{compiler} could not compile {name}.c:\n{result.stderr.strip()}")
        fresh.replace(program)
    finally:
        fresh.unlink(missing_ok=True)
    return program
