"""Pages of a list: `limit`, `order`, `after`, `before`, on a sequence that only grows.

https://platform.openai.com/docs/api-reference/assistants/listAssistants
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from sqlalchemy import ColumnElement, RowMapping, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.json_object import JsonObject
from microservices.assistants.store.former_places import former_place
from servicekit.errors import NotFoundError

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which page is wanted."""

    limit: int = 20
    order: Literal["asc", "desc"] = "desc"
    #: Ids, whose neighbours the page begins or ends at.
    after: str | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page, and whether there are more in its direction."""

    items: Sequence[Item]
    has_more: bool


async def read_page(
    connection: AsyncConnection,
    table: Table,
    of: Sequence[ColumnElement[bool]],
    query: PageQuery,
    read: Callable[[RowMapping], Item],
) -> Page[Item]:
    """Read one page of a table.

    Args:
        connection: To read with.
        table: With `seq` and `id`.
        of: What the rows must fulfil, such as the owner.
        query: Which page.
        read: Makes the object of a row.

    Raises:
        NotFoundError: `after` or `before` names nothing that is, or was not long ago, in this list.
    """
    conditions = list(of)
    is_falling = query.order == "desc"
    if query.after is not None:
        seq = await _seq_of(connection, table, of, query.after, "after")
        conditions.append(table.c.seq < seq if is_falling else table.c.seq > seq)
    if query.before is not None:
        seq = await _seq_of(connection, table, of, query.before, "before")
        conditions.append(table.c.seq > seq if is_falling else table.c.seq < seq)
    # With `before` alone the page is the one that ends right before it.
    is_backward = query.before is not None and query.after is None
    falls = is_falling != is_backward
    statement = select(table).where(*conditions).order_by(table.c.seq.desc() if falls else table.c.seq)
    rows = (await connection.execute(statement.limit(query.limit + 1))).mappings().all()
    shown = list(rows[: query.limit])
    if is_backward:
        shown.reverse()
    return Page([read(row) for row in shown], has_more=len(rows) > query.limit)


async def _seq_of(
    connection: AsyncConnection, table: Table, of: Sequence[ColumnElement[bool]], wanted: str, parameter: str
) -> int:
    found: int | None = await connection.scalar(select(table.c.seq).where(table.c.id == wanted, *of))
    if found is None:
        found = await former_place(connection, table, wanted)
    if found is None:
        raise NotFoundError(
            f"'{wanted}' is not in this list. Leave out '{parameter}' for its beginning.", param=parameter
        )
    return found


def page_json(page: Page[Any], items: list[JsonObject]) -> JsonObject:
    """Return the list object of the API."""
    return {
        "object": "list",
        "data": items,
        "first_id": items[0]["id"] if items else None,
        "last_id": items[-1]["id"] if items else None,
        "has_more": page.has_more,
    }
