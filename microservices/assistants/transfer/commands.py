"""What `export` and `import` of the command line do."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import click
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from microservices.assistants.data_folder import make_data_folder
from microservices.assistants.owner import owner_of_key
from microservices.assistants.settings import AssistantsSettings
from microservices.assistants.store.database import Database
from microservices.assistants.store.migrate import migrate, shown
from microservices.assistants.transfer.exporting import export_lines
from microservices.assistants.transfer.importing import Import
from microservices.assistants.transfer.kinds import Kind
from microservices.assistants.transfer.reading import Source
from microservices.assistants.transfer.report import Report, described
from servicekit.environment import read_variables
from servicekit.errors import ConfigurationError
from servicekit.logs import configure_logging
from servicekit.settings import load_settings

_STANDARD = "-"
#: Exports hold what people wrote: they are for their owner alone.
_MODE = 0o600


async def export_to(file: str) -> int:
    """Write an export to a file or to standard output; returns the exit code.

    Raises:
        ConfigurationError: The settings, the database or the file cannot be used.
    """
    counts: Counter[Kind] = Counter()
    try:
        async with _opened() as (database, _):
            with _writable(file) as stream:
                async with aclosing(export_lines(database, counts)) as pieces:
                    async for lines in pieces:
                        await asyncio.to_thread(stream.writelines, lines)
    except BrokenPipeError:
        # Python would write what is left once more at its end, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        click.echo("error: whoever read the export stopped before its end.", err=True)
        return 1
    click.echo(f"Exported: {described(counts)}.", err=True)
    return 0


async def import_from(file: str, *, replace: bool, api_key_env: str | None) -> int:
    """Import a file or standard input; returns the exit code: 1 if a line was refused.

    Raises:
        ConfigurationError: The settings, the database or the file cannot be used, or the variable holds no key.
    """
    owner = owner_of_key(_key_of(api_key_env)) if api_key_env else None
    report = Report()
    async with _opened() as (database, settings):
        with _readable(file) as stream:
            source = Source(stream, report, owner=owner, is_owner_needed=bool(settings.api_keys))
            await Import(database, source, report, is_replacing=replace, owner=owner).run()
    for sentence in report.sentences():
        click.echo(sentence, err=True)
    return 1 if report.refused else 0


@asynccontextmanager
async def _opened() -> AsyncIterator[tuple[Database, AssistantsSettings]]:
    settings = load_settings(AssistantsSettings)
    configure_logging("assistants", "WARNING")
    database = Database(settings.database)
    try:
        await asyncio.to_thread(make_data_folder, settings)
        await migrate(database)
        yield database, settings
    except SQLAlchemyError as exc:
        reason = str(exc.orig if isinstance(exc, DBAPIError) else exc).strip().splitlines()[0]
        raise ConfigurationError(
            f"The database {shown(database.url)} failed: {reason}. Do it again: nothing is imported twice."
        ) from exc
    finally:
        await database.close()


def _key_of(variable: str) -> str:
    key = read_variables().get(variable, "").strip()
    if not key or "," in key:
        found = "several keys" if key else "nothing"
        raise ConfigurationError(f"--api-key-env: {variable} holds {found}. Name a variable that holds one key.")
    return key


@contextmanager
def _writable(file: str) -> Iterator[BinaryIO]:
    """Open what is written to; a file is there whole or not at all."""
    if file == _STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    partial = Path(f"{file}.partial")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE), "wb") as stream:
            yield stream
        partial.replace(file)
    except OSError as exc:
        raise ConfigurationError(f"{file} cannot be written: {exc.strerror}. Give another file.") from exc
    finally:
        with suppress(OSError):  # it became the file, or was never made
            partial.unlink()


@contextmanager
def _readable(file: str) -> Iterator[BinaryIO]:
    if file == _STANDARD:
        yield sys.stdin.buffer
        return
    try:
        with Path(file).open("rb") as stream:
            yield stream
    except OSError as exc:
        raise ConfigurationError(f"{file} cannot be read: {exc.strerror}.") from exc
