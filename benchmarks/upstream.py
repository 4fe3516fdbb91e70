"""The scripted upstream as a running process."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.servers import Launch, Server, ServerError, running

_START_SECONDS = 5.0
_POLL_SECONDS = 0.01


@contextmanager
def running_upstream(program: Path, folder: Path, cores: Collection[int]) -> Iterator[Server]:
    """Run the compiled upstream on a free port that it chooses by itself.

    Args:
        program: See tools/upstream.c.
        folder: Where its output goes.
        cores: Where it runs.

    Raises:
        ServerError: It did not say its port.
    """
    log = folder / "upstream.log"
    log.write_bytes(b"")
    with running(Launch([str(program)], {}), 0, log, cores) as server:
        server.port = _announced_port(log)
        yield server


def _announced_port(log: Path) -> int:
    deadline = time.monotonic() + _START_SECONDS
    while not (text := log.read_text()).endswith("\n"):
        if time.monotonic() > deadline:
            raise ServerError(f"the upstream did not start: {text}")
        time.sleep(_POLL_SECONDS)
    if not text.strip().isdigit():
        raise ServerError(f"the upstream did not start: {text}")
    return int(text)
