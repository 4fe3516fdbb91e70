"""Columns that every table makes in the same way. Migrations use the types, too: add some, change none."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Integer, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB

#: Of all tables; `schema.py` imports every file of them.
metadata = MetaData()

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
#: SQLite numbers the rows of an INTEGER primary key alone by itself.
Sequence = BigInteger().with_variant(Integer, "sqlite")


def seq_column() -> Column[Any]:
    """Return the column that only grows, by which a table is paged."""
    return Column("seq", Sequence, primary_key=True, autoincrement=True)


def id_column() -> Column[Any]:
    """Return the column of an object's id."""
    return Column("id", Text, nullable=False, unique=True)


def json_column(name: str, *, nullable: bool = True) -> Column[Any]:
    """Return a column that holds JSON; None is SQL's NULL."""
    return Column(name, Json, nullable=nullable)


def time_column(name: str, *, nullable: bool = True) -> Column[Any]:
    """Return a column of UNIX seconds."""
    return Column(name, BigInteger, nullable=nullable)
