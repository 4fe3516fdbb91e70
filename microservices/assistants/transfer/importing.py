"""Objects of a file into the store: what is there already stays, or becomes as it is in the file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Table, bindparam, select, text, tuple_, update
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.thread import Thread
from microservices.assistants.store import file_tables
from microservices.assistants.store.database import Database
from microservices.assistants.store.rows import delete_where, insert_items, to_row
from microservices.assistants.transfer.kinds import FILE, MESSAGE, THREAD, Kind
from microservices.assistants.transfer.reading import Record, Source
from microservices.assistants.transfer.report import Report

#: Any number: of several imports at once one writes, the others wait for its transaction.
_LOCK = 0x696D706F


class Import:
    """One import.

    Args:
        database: With the schema of today.
        source: The file.
        report: What is done is noted there.
        is_replacing: Whether what is there becomes as it is in the file; else it stays.
        owner: Whose threads are that only their messages tell of.
    """

    def __init__(
        self, database: Database, source: Source, report: Report, *, is_replacing: bool, owner: str | None
    ) -> None:
        self._database = database
        self._source = source
        self._report = report
        self._is_replacing = is_replacing
        self._owner = owner or ""
        #: Threads that were made for their messages; their own lines may come yet.
        self._implied: set[str] = set()

    async def run(self) -> None:
        """Read and store everything, in transactions of bounded size.

        Raises:
            ConfigurationError: See `Source.records`.
        """
        records = self._source.records()
        while batch := await asyncio.to_thread(_take, records):
            await self._store(batch)

    async def _store(self, batch: Sequence[Record]) -> None:
        """Store some records; if the database refuses them, each on its own, to tell which one it is."""
        done = Report()
        try:
            async with self._database.write() as connection:
                await self._store_all(connection, batch, done)
        except (IntegrityError, DataError, OverflowError) as exc:
            if len(batch) == 1:
                reason = str(exc.orig if isinstance(exc, DBAPIError) else exc).strip().splitlines()[0]
                self._report.refuse(batch[0].line, f"the database refuses it: {reason}.")
                return
            for record in batch:
                await self._store([record])
            return
        self._report.add(done)

    async def _store_all(self, connection: AsyncConnection, batch: Sequence[Record], done: Report) -> None:
        if not self._database.is_sqlite:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        for kind, group in groupby(batch, lambda record: record.kind):
            await self._store_kind(connection, kind, list(group), done)

    async def _store_kind(self, connection: AsyncConnection, kind: Kind, records: list[Record], done: Report) -> None:
        there = await _there(connection, kind, records)
        new: dict[tuple[Any, ...], Record] = {}
        old: dict[tuple[Any, ...], Record] = {}
        told: list[Record] = []  # of threads that are there since a message of theirs came
        for record in await self._with_parents(connection, kind, records, done):
            if record.key not in there and record.key not in new:
                new[record.key] = record
            elif kind is THREAD and record.item.id in self._implied:
                self._implied.discard(record.item.id)
                told.append(record)
            elif self._is_replacing:
                (new if record.key in new else old)[record.key] = record
            else:
                done.skipped[kind] += 1
        await insert_items(connection, kind.table, [record.item for record in new.values()])
        await _replace(connection, kind, [*old.values(), *told])
        done.added[kind] += len(new)
        done.replaced[kind] += len(old)

    async def _with_parents(
        self, connection: AsyncConnection, kind: Kind, records: list[Record], done: Report
    ) -> list[Record]:
        """Return the records whose parents are there; the thread of a message saved elsewhere is made."""
        for column, table in kind.parents.items():
            known = await _known(connection, table, {getattr(record.item, column) for record in records})
            orphans = [record for record in records if getattr(record.item, column) not in known]
            if kind is MESSAGE and not self._source.is_export:
                done.added[THREAD] += await self._imply_threads(connection, orphans)
                continue
            for record in orphans:
                parent = getattr(record.item, column)
                done.refuse(record.line, f"its {column} {parent} is neither in the file before it nor in the database.")
            records = [record for record in records if getattr(record.item, column) in known]
        return records

    async def _imply_threads(self, connection: AsyncConnection, messages: Sequence[Record]) -> int:
        threads: dict[str, Thread] = {}
        for record in messages:
            message = record.item
            threads.setdefault(message.thread_id, Thread(message.thread_id, self._owner, message.created_at))
        await insert_items(connection, THREAD.table, list(threads.values()))
        self._implied.update(threads)
        return len(threads)


def _take(records: Iterator[Record]) -> list[Record]:
    """Return the next records, as many as one transaction holds."""
    batch: list[Record] = []
    room = 1.0
    for record in records:
        batch.append(record)
        room -= 1 / record.kind.per_batch
        if room <= 0:
            break
    return batch


async def _there(connection: AsyncConnection, kind: Kind, records: Sequence[Record]) -> set[tuple[Any, ...]]:
    columns = [kind.table.c[name] for name in kind.key]
    rows = await connection.execute(select(*columns).where(tuple_(*columns).in_([record.key for record in records])))
    return {tuple(row) for row in rows}


async def _known(connection: AsyncConnection, table: Table, ids: set[str]) -> set[str]:
    return set(await connection.scalars(select(table.c.id).where(table.c.id.in_(ids))))


async def _replace(connection: AsyncConnection, kind: Kind, records: Sequence[Record]) -> None:
    if not records:
        return
    if kind is FILE:  # the new content may have fewer pieces
        ids = [record.item.id for record in records]
        await delete_where(connection, file_tables.file_parts, file_tables.file_parts.c.file_id.in_(ids))
    is_it = [kind.table.c[name] == bindparam(f"key_{name}") for name in kind.key]
    changed = {name: bindparam(f"new_{name}", type_=kind.table.c[name].type) for name in kind.columns}
    rows = [
        {f"key_{name}": value for name, value in zip(kind.key, record.key, strict=True)}
        | {f"new_{name}": value for name, value in to_row(record.item, kind.table).items() if name in changed}
        for record in records
    ]
    await connection.execute(update(kind.table).where(*is_it).values(changed), rows)
