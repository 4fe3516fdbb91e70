"""Rows and the objects that they hold: columns and fields have the same names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, RowMapping, Table, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

Row = TypeVar("Row")


def to_row(item: object, table: Table) -> dict[str, Any]:
    """Return an object's fields as the values of a row."""
    return {column.name: getattr(item, column.name) for column in table.c if column.name != "seq"}


def from_row(kind: type[Row], row: RowMapping) -> Row:
    """Make the object that a row holds."""
    return kind(**{field.name: row[field.name] for field in fields(kind)})  # type: ignore[arg-type]


async def insert_items(connection: AsyncConnection, table: Table, items: Sequence[object]) -> None:
    """Add a row for each object, in their order."""
    if items:
        await connection.execute(insert(table), [to_row(item, table) for item in items])


async def insert_unless_there(
    connection: AsyncConnection,
    table: Table,
    item: object,
    unique: Sequence[str] = ("id",),
    among: ColumnElement[bool] | None = None,
) -> bool:
    """Add a row unless another one has its unique columns; a failed INSERT would end a PostgreSQL transaction.

    Args:
        connection: To write with.
        table: Where to.
        item: The object.
        unique: The columns of the unique index.
        among: The index's condition, if it is a partial one.

    Returns:
        Whether the row was added.
    """
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    columns = [table.c[name] for name in unique]
    result = await connection.execute(
        dialect.insert(table).on_conflict_do_nothing(index_elements=columns, index_where=among),
        # Beside the statement, for within it each value would be an expression of its own, made anew each time.
        to_row(item, table),
        execution_options={"preserve_rowcount": True},  # of an INSERT it would be forgotten
    )
    return result.rowcount == 1


async def find_one(
    connection: AsyncConnection, kind: type[Row], table: Table, *where: ColumnElement[bool], locked: bool = False
) -> Row | None:
    """Return the object of the row that fulfils the conditions, if there is one.

    Args:
        connection: To read with.
        kind: What the row holds.
        table: Where from.
        where: Such as the id and the owner.
        locked: Whether nobody else may write or lock the row until the transaction ends. On SQLite a transaction
            that writes has the whole database to itself.
    """
    statement = select(table).where(*where)
    row = (await connection.execute(statement.with_for_update() if locked else statement)).mappings().first()
    return None if row is None else from_row(kind, row)


async def update_item(connection: AsyncConnection, table: Table, item_id: str, changes: Mapping[str, Any]) -> None:
    """Change columns of the row with an id."""
    if changes:
        await connection.execute(update(table).where(table.c.id == item_id).values(**changes))


async def delete_where(connection: AsyncConnection, table: Table, *where: ColumnElement[bool]) -> int:
    """Delete the rows that fulfil the conditions; returns how many there were."""
    return (await connection.execute(delete(table).where(*where))).rowcount
