"""Pages of the store, over SQLite and PostgreSQL alike, against a list in memory."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from microservices.assistants.objects.thread import Thread
from microservices.assistants.store import messages, threads
from microservices.assistants.store.database import Database
from microservices.assistants.store.paging import PageQuery
from servicekit.errors import NotFoundError
from tests.support.assistants_store import OWNER, make_message

_COUNT = 7
_IDS = [f"msg_{number}" for number in range(_COUNT)]
_MAYBE_ID = st.none() | st.sampled_from(_IDS)

Order = Literal["asc", "desc"]


def _expected(limit: int, order: Order, after: str | None, before: str | None) -> tuple[list[str], bool]:
    """Return the ids of a page of all messages, and whether there are more."""
    ids = _IDS if order == "asc" else _IDS[::-1]
    first = 0 if after is None else ids.index(after) + 1
    end = len(ids) if before is None else ids.index(before)
    between = ids[first:end]
    shown = between[-limit:] if after is None and before is not None else between[:limit]
    return shown, len(between) > limit


async def _fill(database: Database) -> None:
    async with database.write() as connection:
        await threads.insert(connection, Thread("thread_1", OWNER, 1))
        await threads.insert(connection, Thread("thread_2", OWNER, 1))
        for message_id in _IDS:  # all in one second; another thread's lie between them
            await messages.insert(connection, make_message(message_id))
            await messages.insert(connection, make_message(f"other_{message_id}", "thread_2"))


async def test_pages_are_those_of_a_list(database: Database) -> None:
    """Every limit, order, `after` and `before` gives what slicing a list gives, ties of `created_at` or not."""
    await _fill(database)
    loop = asyncio.get_running_loop()

    async def read(query: PageQuery) -> tuple[list[str], bool]:
        async with database.read() as connection:
            page = await messages.page(connection, "thread_1", query)
        return [message.id for message in page.items], page.has_more

    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(st.integers(1, _COUNT + 2), st.sampled_from(["asc", "desc"]), _MAYBE_ID, _MAYBE_ID)
    def check(limit: int, order: Order, after: str | None, before: str | None) -> None:
        found = asyncio.run_coroutine_threadsafe(read(PageQuery(limit, order, after, before)), loop).result(10)
        assert found == _expected(limit, order, after, before)

    await asyncio.to_thread(check)


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_one_after_the_other_show_everything_once(database: Database, order: Order) -> None:
    """Walking by the last id while rows are added and deleted shows each of the others exactly once."""
    await _fill(database)
    seen: list[str] = []
    query, has_more = PageQuery(2, order), True
    while has_more:
        async with database.write() as connection:
            page = await messages.page(connection, "thread_1", query)
            if not seen:
                await messages.delete(connection, "thread_1", "msg_3")
        seen += [message.id for message in page.items]
        query, has_more = PageQuery(2, order, after=seen[-1]), page.has_more
    expected = [message_id for message_id in _IDS if message_id != "msg_3"]
    assert seen == (expected if order == "asc" else expected[::-1])


@pytest.mark.parametrize("parameter", ["after", "before"])
@pytest.mark.parametrize("wanted", ["msg_99", "other_msg_1"])
async def test_page_beside_a_foreign_id_is_not_found(database: Database, parameter: str, wanted: str) -> None:
    """An id that is not in this list, even if it is in another, is a 404 that names the parameter."""
    await _fill(database)
    query = PageQuery(after=wanted) if parameter == "after" else PageQuery(before=wanted)
    async with database.read() as connection:
        with pytest.raises(NotFoundError, match=f"'{wanted}' is not in this list") as raised:
            await messages.page(connection, "thread_1", query)
    assert raised.value.param == parameter
