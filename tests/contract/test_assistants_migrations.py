"""The schema at the start: made, brought up to date, or refused, over SQLite and PostgreSQL alike."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from blockbuster import BlockBuster
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.thread import Thread
from microservices.assistants.store import threads
from microservices.assistants.store.database import Database, with_driver
from microservices.assistants.store.migrate import VERSION_TABLE, migrate, shown
from microservices.assistants.store.migrations import HEAD
from microservices.assistants.store.schema import metadata
from servicekit.errors import ConfigurationError
from tests.support.assistants_store import OWNER, opened_database

NewDatabase = Callable[[str], Database]


@pytest_asyncio.fixture
async def new_database() -> AsyncIterator[NewDatabase]:
    """Give a function that makes a database, of which nothing was asked yet; it is closed however the test ends."""
    async with AsyncExitStack() as stack:

        def make(url: str) -> Database:
            database = Database(url)
            stack.push_async_callback(database.close)
            return database

        yield make


def _reflected(connection: Connection) -> MetaData:
    found = MetaData()
    found.reflect(connection)
    return found


def _differences(connection: Connection, expected: MetaData) -> list[Any]:
    options: dict[str, Any] = {"compare_type": True, "compare_server_default": True}
    differences: list[Any] = compare_metadata(MigrationContext.configure(connection, opts=options), expected)
    return [entry for entry in differences if VERSION_TABLE not in str(entry)]


def _sqlite_extras(connection: Connection) -> set[tuple[str, str]]:
    """Return SQLite's triggers and virtual tables, which reflection does not show, as their statements."""
    is_extra = "type = 'trigger' OR sql LIKE 'CREATE VIRTUAL%'"
    rows = connection.execute(text(f"SELECT name, sql FROM sqlite_master WHERE {is_extra}"))  # noqa: S608 - a constant
    return {(row.name, " ".join(row.sql.split())) for row in rows}


async def test_migrations_give_the_tables_that_the_code_names(
    new_database: NewDatabase, database: Database, postgres_url: str, tmp_path: Path
) -> None:
    """The steps from nothing to today end where making all tables at once does: columns, indices, keys, triggers."""
    other = new_database(f"sqlite:///{tmp_path / 'made.sqlite'}" if database.is_sqlite else postgres_url)
    async with other.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        expected = await connection.run_sync(_reflected)
        extras = await connection.run_sync(_sqlite_extras) if database.is_sqlite else set()
    async with database.read() as connection:
        assert await connection.run_sync(_differences, expected) == []
        assert not database.is_sqlite or await connection.run_sync(_sqlite_extras) == extras


def test_migrations_head_is_the_last_step() -> None:
    """The constant that spares a start alembic's import names the last step, and the steps are one line."""
    config = Config()
    config.set_main_option("script_location", "microservices.assistants.store:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


async def test_migrate_twice_keeps_what_is_there(database_url: str) -> None:
    """A second start finds the schema made and changes nothing."""
    async with opened_database(database_url) as database, database.write() as connection:
        await threads.insert(connection, Thread("thread_1", OWNER, 1))
    async with opened_database(database_url) as database, database.read() as connection:
        assert (await threads.get(connection, OWNER, "thread_1")).id == "thread_1"


async def test_migrate_at_once_from_many_makes_one_schema(new_database: NewDatabase, database_url: str) -> None:
    """Of several that start at once one makes the tables; the others wait and are fine."""
    databases = [new_database(database_url) for _ in range(4)]
    await asyncio.gather(*map(migrate, databases))
    for database in databases:
        async with database.read() as connection:
            assert await _threads_count(connection) == 0


async def _threads_count(connection: AsyncConnection) -> int:
    return int(await connection.scalar(text("SELECT count(*) FROM threads")))


async def test_migrate_brings_an_older_schema_up_to_date(
    new_database: NewDatabase, database_url: str, no_blocking_calls: BlockBuster
) -> None:
    """A database that the first version made is brought to today's schema with its rows."""
    no_blocking_calls.deactivate()  # alembic reads its steps
    database = new_database(database_url)
    async with database.write() as connection:
        await connection.run_sync(_upgrade_to, "0001")
        await threads.insert(connection, Thread("thread_1", OWNER, 1))
    await migrate(database)
    async with database.read() as connection:
        assert await connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) == HEAD  # noqa: S608
        assert await _threads_count(connection) == 1


def _upgrade_to(connection: Connection, revision: str) -> None:
    from alembic import command  # noqa: PLC0415 - as the code under test does

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "microservices.assistants.store:migrations")
    command.upgrade(config, revision)


async def test_migrate_refuses_a_newer_schema(database: Database) -> None:
    """A database of a newer version is left alone, and the message says what to do."""
    async with database.write() as connection:
        await connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))  # noqa: S608 - a constant
    with pytest.raises(
        ConfigurationError, match=r"has the schema 9999 of a newer version .* up to .* another DATABASE_URL"
    ):
        await migrate(database)
    async with database.read() as connection:
        assert await connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) == "9999"  # noqa: S608


async def test_migrate_refuses_the_tables_of_another_application(new_database: NewDatabase, database_url: str) -> None:
    """A database in which somebody else has a table of the same name is left as it was."""
    database = new_database(database_url)
    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE messages (body text)"))
    with pytest.raises(ConfigurationError, match=r"cannot be used: .*messages.* already exists"):
        await migrate(database)
    async with database.read() as connection:
        names = set((await connection.run_sync(_reflected)).tables)
    assert names == {"messages"}


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://me:secret@127.0.0.1:{port}/name", "[Cc]onnection refused"),
        ("postgresql://me@127.0.0.1:{port}/name?password=secret", "[Cc]onnection refused"),
        ("sqlite:////proc/assistants/data.sqlite", "unable to open database file"),
    ],
)
async def test_migrate_of_an_unreachable_database_says_what_to_do(
    new_database: NewDatabase, url: str, reason: str, free_port: int
) -> None:
    """A database that cannot be had is one sentence with its address, the reason and a remedy, and no password."""
    database = new_database(url.format(port=free_port))
    with pytest.raises(
        ConfigurationError, match=rf"(?s)The database .* cannot be used: .*({reason}).*DATABASE_URL"
    ) as raised:
        await migrate(database)
    assert "secret" not in str(raised.value)


async def test_migrate_of_a_missing_database_names_it(new_database: NewDatabase, postgres_url: str) -> None:
    """A server without the database says so."""
    database = new_database(postgres_url.replace("/test_", "/missing_"))
    with pytest.raises(ConfigurationError, match=r'database "missing_.*" does not exist'):
        await migrate(database)


@pytest.fixture
def read_only_folder(tmp_path: Path) -> Path:
    """Give a folder that this user cannot write to."""
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    return tmp_path


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_migrate_into_a_folder_that_cannot_be_written_says_so(
    new_database: NewDatabase, read_only_folder: Path
) -> None:
    """A data folder without the right to write is named, with the settings that choose another."""
    database = new_database(f"sqlite:///{read_only_folder / 'data.sqlite'}")
    with pytest.raises(ConfigurationError, match=r"unable to open database file.*ASSISTANTS_DATA_DIR"):
        await migrate(database)


async def test_migrate_of_what_is_no_database_says_so(new_database: NewDatabase, tmp_path: Path) -> None:
    """A file of something else is not overwritten."""
    path = tmp_path / "letter.txt"
    path.write_text("Dear Ada, " * 1_000)
    database = new_database(f"sqlite:///{path}")
    with pytest.raises(ConfigurationError, match="file is not a database"):
        await migrate(database)
    assert path.read_text().startswith("Dear Ada")


def test_shown_hides_passwords() -> None:
    """A URL that is shown has no password in it, wherever it was written, and is what the user wrote else."""
    url = with_driver("postgresql://me:secret@host:5/name?password=secret&sslmode=require")
    assert shown(url) == "postgresql://me:***@host:5/name?password=hidden&sslmode=require"
