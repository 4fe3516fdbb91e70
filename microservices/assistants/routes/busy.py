"""A thread that a run works on stays as it is: what the run reads must not change under it."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.store import runs
from servicekit.errors import InvalidRequestError


async def refuse_while_active(connection: AsyncConnection, thread_id: str, action: str) -> None:
    """Raise if a run of a thread has not ended; the caller holds the thread's lock.

    Args:
        connection: The caller's transaction.
        thread_id: Which thread.
        action: What is refused, such as "add messages to".

    Raises:
        InvalidRequestError: 400, because SDKs would send a 409 again by themselves.
    """
    active = await runs.active_of(connection, thread_id)
    if active is not None:
        raise InvalidRequestError(f"Can't {action} {thread_id} while a run {active.id} is active.")
