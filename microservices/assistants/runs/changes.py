"""Wakes whoever follows a run in this process when something happened to it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Changes:
    """For each run, the followers to wake. What happened is not said: they look."""

    def __init__(self) -> None:
        self._followers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    @contextmanager
    def watch(self, run_id: str) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever something happens to a run.

        Clear it, look, then wait for it: nothing that happens after the look is missed.
        """
        changed = asyncio.Event()
        self._followers[run_id].add(changed)
        try:
            yield changed
        finally:
            self._followers[run_id].discard(changed)
            if not self._followers[run_id]:
                del self._followers[run_id]

    def tell(self, run_id: str) -> None:
        """Wake the followers of a run."""
        for changed in self._followers.get(run_id, ()):
            changed.set()

    def tell_all(self) -> None:
        """Wake every follower, such as after news may have been missed."""
        for run_id in list(self._followers):
            self.tell(run_id)
