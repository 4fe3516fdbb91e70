"""All that is kept, as JSON lines: one moment, read piece by piece."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
from sqlalchemy import RowMapping, Select, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.store.database import Database
from microservices.assistants.transfer.kinds import END, HEADER, KINDS, VERSION, Kind


async def export_lines(database: Database, counts: Counter[Kind]) -> AsyncGenerator[list[bytes]]:
    """Yield the lines of an export, some at a time; the same store gives the same lines.

    Args:
        database: With the schema of today.
        counts: Counts the lines of each kind.
    """
    yield [_line({"object": HEADER, "version": VERSION})]
    async with _one_moment(database) as connection:
        for kind in KINDS:
            async for rows in _batches(connection, kind):
                counts[kind] += len(rows)
                yield [_line(_record(kind, row)) for row in rows]
    yield [_line({"object": END, "lines": counts.total()})]


@asynccontextmanager
async def _one_moment(database: Database) -> AsyncIterator[AsyncConnection]:
    """Give a connection all whose queries see the same state, whatever others write meanwhile."""
    async with database.read() as connection:
        if database.is_sqlite:
            await connection.exec_driver_sql("BEGIN")
        else:
            await connection.execution_options(isolation_level="REPEATABLE READ")
        yield connection


async def _batches(connection: AsyncConnection, kind: Kind) -> AsyncIterator[list[RowMapping]]:
    last: RowMapping | None = None
    while rows := list((await connection.execute(_next(kind, last))).mappings()):
        yield rows
        last = rows[-1]


def _next(kind: Kind, last: RowMapping | None) -> Select[Any]:
    table = kind.table
    order = [table.c.seq] if "seq" in table.c else [table.c[name] for name in kind.key]
    statement = select(table).order_by(*order).limit(kind.per_batch)
    if last is None:
        return statement
    return statement.where(tuple_(*order) > tuple_(*(last[column.name] for column in order)))


def _record(kind: Kind, row: RowMapping) -> Mapping[str, Any]:
    return {"object": kind.name, **{name: _value(row[name]) for name in kind.columns}}


def _value(value: object) -> object:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _line(record: Mapping[str, Any]) -> bytes:
    # Sorted: PostgreSQL keeps the keys of JSON in an order of its own, and exports can be compared.
    return orjson.dumps(record, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
