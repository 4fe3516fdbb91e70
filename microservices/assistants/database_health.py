"""Whether the database answers."""

from __future__ import annotations

import asyncio

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from microservices.assistants.store.database import Database
from microservices.assistants.store.migrate import shown

_SECONDS = 3.0


async def database_problem(database: Database) -> str | None:
    """Return what is wrong with the database, in a sentence; None if it answers."""
    try:
        async with asyncio.timeout(_SECONDS), database.read() as connection:
            await connection.execute(text("SELECT 1"))
    except TimeoutError:
        return f"The database {shown(database.url)} has not answered for {_SECONDS:g} s."
    except (SQLAlchemyError, OSError) as exc:
        reason = str(exc).strip().partition("\n")[0]
        return f"The database {shown(database.url)} cannot be used: {reason}"
    return None
