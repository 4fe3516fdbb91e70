"""Computing in a thread that nobody waits for once its result is not wanted any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

Result = TypeVar("Result")


async def in_abandoned_thread(function: Callable[[], Result]) -> Result:
    """Return what a function returns, raise what it raises; meanwhile the event loop goes on.

    Whoever stops waiting leaves the thread alone, also at the end of the process: `asyncio.to_thread` would keep that
    from ending for as long as a large file takes.

    Args:
        function: Computes only; it may be cut off at any point.
    """
    future: Future[Result] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as exc:  # noqa: BLE001 - raised where the result is waited for
            future.set_exception(exc)

    Thread(target=run, name="abandoned when not wanted", daemon=True).start()
    return await asyncio.wrap_future(future)
