"""Work that stops when its client leaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from servicekit.asgi.disconnect import until_disconnect
from servicekit.asgi.errors import ClientGoneError
from tests.support.asgi import Conversation


class _Work:
    """Sleeps, and remembers how it ended."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cancelled_at: float | None = None

    async def run(self, clean_up_seconds: float = 0.0) -> str:
        self.started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(clean_up_seconds)
            self.cancelled_at = time.monotonic()
            raise
        return "done"


async def _until_disconnect(conversation: Conversation, work: Coroutine[Any, Any, str]) -> str:
    return await until_disconnect(conversation.scope, conversation.receive, work)


async def _result() -> str:
    return "done"


async def _failure() -> str:
    raise ValueError("broken")


async def test_until_disconnect_returns_the_work_s_result() -> None:
    """A client that stays gets its answer."""
    assert await _until_disconnect(Conversation(parts=()), _result()) == "done"


async def test_until_disconnect_passes_the_work_s_failure_on() -> None:
    """An error of the work is the caller's to handle."""
    with pytest.raises(ValueError, match="broken"):
        await _until_disconnect(Conversation(parts=()), _failure())


async def test_until_disconnect_cancels_the_work_of_a_client_that_leaves() -> None:
    """The work is cancelled at once and has ended, clean-up included, when the error is raised."""
    conversation, work = Conversation(parts=()), _Work()
    waiting = asyncio.create_task(_until_disconnect(conversation, work.run(clean_up_seconds=0.01)))
    await work.started.wait()
    left_at = time.monotonic()
    conversation.leave()
    with pytest.raises(ClientGoneError):
        await waiting
    assert work.cancelled_at is not None
    assert work.cancelled_at - left_at < 0.1


async def test_until_disconnect_ignores_what_is_left_of_the_body() -> None:
    """Only a disconnect counts; late body messages do not."""
    conversation, work = Conversation(parts=(b"a", b"b")), _Work()
    waiting = asyncio.create_task(_until_disconnect(conversation, work.run()))
    await work.started.wait()
    await asyncio.sleep(0.01)
    assert not waiting.done()
    conversation.leave()
    with pytest.raises(ClientGoneError):
        await waiting


async def test_until_disconnect_leaves_no_task_behind() -> None:
    """Neither the work nor the watch outlives the request, however it ended."""
    before = asyncio.all_tasks()
    await _until_disconnect(Conversation(parts=()), _result())
    with pytest.raises(ValueError, match="broken"):
        await _until_disconnect(Conversation(parts=()), _failure())
    assert asyncio.all_tasks() == before


async def test_until_disconnect_cancels_the_work_when_it_is_cancelled_itself() -> None:
    """A server that shuts down takes the work with it."""
    work = _Work()
    waiting = asyncio.create_task(_until_disconnect(Conversation(parts=()), work.run()))
    await work.started.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert work.cancelled_at is not None
