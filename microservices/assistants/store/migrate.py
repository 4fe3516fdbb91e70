"""Brings a database to the schema that this code works with, before anything else is done with it.

Everything is one transaction that only one process can be in: SQLite's write lock, or an advisory lock of PostgreSQL.
The second of two that start at once waits and finds the work done; whoever is killed leaves the old schema.
"""

from __future__ import annotations

import logging

from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.store.database import Database
from microservices.assistants.store.migrations import HEAD
from servicekit.errors import ConfigurationError

_log = logging.getLogger(__name__)

#: Not alembic's default: the database may be shared with an application that uses alembic, too.
VERSION_TABLE = "assistants_schema_version"

#: Any number, the same in all processes.
_LOCK = 0x61737374
_LOCK_WAIT = "60s"


async def migrate(database: Database) -> None:
    """Make a database's tables, or bring them up to date. Cheap where there is nothing to do.

    Args:
        database: Just made, nothing was asked of it. The folder of SQLite's is there.

    Raises:
        ConfigurationError: It cannot be reached or written, a newer version of this project made it, or it has tables
            of somebody else under the same names.
    """
    try:
        async with database.read() as connection:
            found = await connection.run_sync(_found_version)
        if found != HEAD:
            async with database.write() as connection:
                await _wait_for_others(connection, is_sqlite=database.is_sqlite)
                await connection.run_sync(_upgrade, database.url)
    except (SQLAlchemyError, PoolTimeoutError, OSError) as exc:
        raise _unusable(database.url, exc) from exc


def _found_version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version: str | None = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608 - a constant
    return version


async def _wait_for_others(connection: AsyncConnection, *, is_sqlite: bool) -> None:
    if not is_sqlite:  # SQLite's transaction holds the write lock already
        await connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'"))
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def _upgrade(connection: Connection, url: URL) -> None:
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of its plug-ins
    # Not needed where the schema is up to date, and slow to import.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "microservices.assistants.store:migrations")
    known = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    found = _found_version(connection)
    if found is not None and found not in known:
        raise ConfigurationError(
            f"The database {shown(url)} has the schema {found} of a newer version of this project; this version knows "
            f"those up to {HEAD}. Start the newer version, or give another DATABASE_URL."
        )
    command.upgrade(config, HEAD)
    _log.info("database %s: schema %s, before: %s", shown(url), HEAD, found or "none")


def shown(url: URL) -> str:
    """Return a database's URL as users write it, without its password."""
    hidden = {name: "hidden" for name in url.query if "password" in name}
    plain = url.set(drivername=url.get_backend_name()).update_query_dict(hidden)
    return plain.render_as_string(hide_password=True)


def _unusable(url: URL, exc: Exception) -> ConfigurationError:
    reason = str(exc.orig if isinstance(exc, DBAPIError) else exc).strip().splitlines()[0]
    return ConfigurationError(f"The database {shown(url)} cannot be used: {reason.rstrip('.')}. {_remedy(url)}")


def _remedy(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return "Give a file that can be written: DATABASE_URL, or ASSISTANTS_DATA_DIR for its folder."
    return "Start it, or change DATABASE_URL: postgresql://user:password@host:5432/name, a database that is there."
