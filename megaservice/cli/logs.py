"""`logs`: the last lines of the services' logs, and what is added to them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from megaservice.cli.log_files import Follower, last_lines
from megaservice.cli.run_dir import RunDir

_POLL_SECONDS = 0.2


def recent_lines(run_dir: RunDir, names: Sequence[str], count: int) -> Iterator[str]:
    """Give the last lines of each log; a heading tells several apart."""
    if count == 0:
        return
    for name in names:
        lines = last_lines(run_dir.log(name), count)
        if len(names) > 1:
            yield f"==> {name} <=="
        yield from lines or [f"(nothing was logged yet: {run_dir.log(name)})"]


def followed_lines(run_dir: RunDir, names: Sequence[str]) -> Iterator[str]:
    """Give what is added to the logs from now on, for ever; a prefix tells several apart."""
    followers = {name: Follower(run_dir.log(name)) for name in names}
    while True:
        for name, follower in followers.items():
            prefix = f"{name} | " if len(names) > 1 else ""
            yield from (prefix + line for line in follower.new_lines())
        time.sleep(_POLL_SECONDS)
