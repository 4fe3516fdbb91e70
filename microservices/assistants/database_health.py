"""Whether the database answers, and what a request is told when it does not."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI, Request
from fastapi.responses import Response
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from microservices.assistants.store.database import Database
from microservices.assistants.store.migrate import shown
from servicekit.asgi.errors import error_response
from servicekit.errors import OverloadedError

_SECONDS = 3.0
_RETRY_AFTER_SECONDS = 1.0


async def database_problem(database: Database) -> str | None:
    """Return what is wrong with the database, in a sentence; None if it answers."""
    try:
        async with asyncio.timeout(_SECONDS), database.read() as connection:
            await connection.execute(text("SELECT 1"))
    except TimeoutError:
        return f"The database {shown(database.url)} has not answered for {_SECONDS:g} s."
    except (SQLAlchemyError, OSError) as exc:
        return f"The database {shown(database.url)} cannot be used: {_reason(exc)}"
    return None


def install_database_errors(app: FastAPI, database: Database) -> None:
    """Have requests told 503 while the database is away: SDKs try again by themselves, and it may be back then."""

    async def answer(_request: Request, exc: Exception) -> Response:
        sentence = f"The database {shown(database.url)} does not answer ({_reason(exc)}). Try again."
        return error_response(OverloadedError(sentence, retry_after_seconds=_RETRY_AFTER_SECONDS))

    for kind in (OperationalError, InterfaceError, PoolTimeoutError):
        app.add_exception_handler(kind, answer)


def _reason(exc: Exception) -> str:
    """Return the first line of what the driver says; SQLAlchemy's own words repeat the statement and its values."""
    return str(exc.orig if isinstance(exc, DBAPIError) else exc).strip().partition("\n")[0]
