"""A thread that nobody has to wait for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from microservices.assistants.search.abandoned_thread import in_abandoned_thread


async def test_result_and_exception_come_back() -> None:
    """As if the function had been called here, but in another thread."""
    assert await in_abandoned_thread(threading.get_ident) != threading.get_ident()
    with pytest.raises(ValueError, match="invalid literal"):
        await in_abandoned_thread(lambda: int("x"))


async def test_waiting_can_end_before_the_function() -> None:
    """A time-out is obeyed at once; the thread's late result disturbs nobody."""
    release = threading.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await in_abandoned_thread(release.wait)
    release.set()
    await asyncio.sleep(0.02)


def test_process_ends_without_the_thread() -> None:
    """A process whose thread would compute for ever ends when its event loop has."""
    code = (
        "import asyncio, threading\n"
        "from microservices.assistants.search.abandoned_thread import in_abandoned_thread\n"
        "async def main():\n"
        "    asyncio.create_task(in_abandoned_thread(threading.Event().wait))\n"
        "    await asyncio.sleep(0.05)\n"
        "asyncio.run(main())\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0
