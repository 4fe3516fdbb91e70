"""Columns that every table makes in the same way."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB

_Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
#: SQLite numbers the rows of an INTEGER primary key alone by itself.
_Sequence = BigInteger().with_variant(Integer, "sqlite")


def seq_column() -> Column[Any]:
    """Return the column that only grows, by which a table is paged."""
    return Column("seq", _Sequence, primary_key=True, autoincrement=True)


def id_column() -> Column[Any]:
    """Return the column of an object's id."""
    return Column("id", Text, nullable=False, unique=True)


def json_column(name: str, *, nullable: bool = True) -> Column[Any]:
    """Return a column that holds JSON; None is SQL's NULL."""
    return Column(name, _Json, nullable=nullable)


def time_column(name: str, *, nullable: bool = True) -> Column[Any]:
    """Return a column of UNIX seconds."""
    return Column(name, BigInteger, nullable=nullable)
