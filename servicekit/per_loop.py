"""Objects that belong to an event loop: one for each loop, for as long as it is open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

OwnedType = TypeVar("OwnedType")


class PerLoop(Generic[OwnedType]):
    """Makes one object for each event loop; called with a loop, returns its own.

    Those of closed loops are forgotten when the next one is made; they hold their loop, so no weak reference would do.

    Args:
        make: Makes the object of a loop.
    """

    def __init__(self, make: Callable[[asyncio.AbstractEventLoop], OwnedType]) -> None:
        self._make = make
        self._made: dict[asyncio.AbstractEventLoop, OwnedType] = {}

    def __call__(self, loop: asyncio.AbstractEventLoop) -> OwnedType:
        """Return the object of an event loop."""
        made = self._made.get(loop)
        if made is None:
            made = self._make(loop)
            # A new table: another thread's loop may be looking for its own in the old one.
            self._made = {known: one for known, one in self._made.items() if not known.is_closed()} | {loop: made}
        return made
