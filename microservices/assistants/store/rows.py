"""Rows and the objects that they hold: columns and fields have the same names."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from sqlalchemy import RowMapping, Table

Row = TypeVar("Row")


def to_row(item: object, table: Table) -> dict[str, Any]:
    """Return an object's fields as the values of a row."""
    return {column.name: getattr(item, column.name) for column in table.c if column.name != "seq"}


def from_row(kind: type[Row], row: RowMapping) -> Row:
    """Make the object that a row holds."""
    return kind(**{field.name: row[field.name] for field in fields(kind)})  # type: ignore[arg-type]
