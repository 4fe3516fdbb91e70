"""One object for each event loop, and none for a loop that is gone."""

from __future__ import annotations

import asyncio

from servicekit.per_loop import PerLoop


class _Owned:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop


def test_loop_has_one_object_of_its_own() -> None:
    """Asked again, it is the same; another loop has another one."""
    owned = PerLoop(_Owned)
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    assert owned(first) is owned(first)
    assert owned(first).loop is first
    assert owned(second) is not owned(first)
    first.close()
    second.close()


def test_objects_of_closed_loops_are_forgotten() -> None:
    """Callers that use a loop for each call do not gather them."""
    owned = PerLoop(_Owned)
    for _ in range(5):
        loop = asyncio.new_event_loop()
        owned(loop)
        loop.close()
    loop = asyncio.new_event_loop()
    owned(loop)
    assert list(owned._made) == [loop]
    loop.close()
