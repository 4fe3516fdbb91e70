"""What `launch.sh` does around a service's start."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from megaservice.cli import supervisor_config

_LAUNCHER = Path(supervisor_config.__file__).with_name("launch.sh")


def _pings_after(started_file: Path) -> str:
    """Start a command that shows whether a service would ask its providers."""
    command = ["/bin/sh", str(_LAUNCHER), str(started_file), "/bin/sh", "-c", "echo ${PING_PROVIDERS:-unset}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()


def test_first_start_asks_providers(tmp_path: Path) -> None:
    """`up` removes the file before it starts a service: nothing is said about pings."""
    assert _pings_after(tmp_path / "llm.started") == "unset"


def test_start_after_a_crash_asks_nobody(tmp_path: Path) -> None:
    """The supervisor starts again what crashed: a provider that is away just then does not end it for good."""
    started = tmp_path / "llm.started"
    started.write_text(f"{time.time() - 60:.0f}")
    assert _pings_after(started) == "false"


def test_no_ping_asks_nobody(tmp_path: Path) -> None:
    """`up --no-ping` holds for every start, the first one too."""
    (tmp_path / "no-ping").touch()
    assert _pings_after(tmp_path / "llm.started") == "false"
