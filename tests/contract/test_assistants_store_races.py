"""What happens at once in the store, over SQLite and PostgreSQL alike: one wins, and everybody is told the truth."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from microservices.assistants.objects.run import ACTIVE, RunStatus
from microservices.assistants.objects.thread import Thread
from microservices.assistants.store import messages, runs, threads
from microservices.assistants.store.database import Database
from microservices.assistants.store.runs import ActiveRunError
from servicekit.environment import PROJECT_ROOT
from tests.support.assistants_store import OWNER, make_message, make_run, opened_database
from tests.support.processes import clean_environment

_WRITERS = 2
_MESSAGES_PER_WRITER = 60
_WRITER_SECONDS = 30


@pytest.fixture
async def thread(database: Database) -> Thread:
    """Give a thread that is stored."""
    made = Thread("thread_1", OWNER, 1)
    async with database.write() as connection:
        await threads.insert(connection, made)
    return made


@pytest.mark.parametrize("is_locked", [True, False], ids=["locked", "index-alone"])
async def test_runs_forty_at_once_have_one_winner(database: Database, thread: Thread, is_locked: bool) -> None:
    """Of forty runs made at once on a thread one is stored, and 39 are told its id; the index alone sees to it."""

    async def create(number: int) -> str:
        try:
            async with database.write() as connection:
                if is_locked:
                    await threads.lock(connection, OWNER, thread.id)
                await runs.insert(connection, make_run(f"run_{number}"))
        except ActiveRunError as exc:
            return exc.message
        return f"run_{number}"

    told = await asyncio.gather(*map(create, range(40)))
    winners = [answer for answer in told if answer.startswith("run_")]
    assert len(winners) == 1
    assert told.count(f"Thread {thread.id} already has an active run {winners[0]}.") == 39


async def test_message_and_run_at_once_never_meet(database: Database, thread: Thread) -> None:
    """A message comes before a run or is refused: none is stored behind the start of an active run."""

    async def append(number: int) -> bool:
        async with database.write() as connection:
            await threads.lock(connection, OWNER, thread.id)
            await asyncio.sleep(0)
            if await runs.active_of(connection, thread.id) is not None:
                return False
            await messages.insert(connection, make_message(f"msg_{number}"))
            return True

    async def create() -> int:
        async with database.write() as connection:
            await threads.lock(connection, OWNER, thread.id)
            before = len(await messages.recent(connection, thread.id, None))
            await runs.insert(connection, make_run("run_1"))
            return before

    appends = [append(number) for number in range(20)]
    before, *appended = await asyncio.gather(create(), *appends)
    async with database.read() as connection:
        assert len(await messages.recent(connection, thread.id, None)) == before == sum(appended)


async def test_run_ended_by_two_at_once_ends_once(database: Database, thread: Thread) -> None:
    """Of twenty who bring a run to an end one does, whatever end it is."""
    ends = [RunStatus.COMPLETED, RunStatus.CANCELLED, RunStatus.EXPIRED, RunStatus.FAILED] * 5
    async with database.write() as connection:
        await runs.insert(connection, make_run("run_1"))

    async def end(status: RunStatus) -> bool:
        async with database.write() as connection:
            return await runs.update_if(connection, "run_1", ACTIVE, {"status": status})

    assert sum(await asyncio.gather(*map(end, ends))) == 1


async def test_thread_deleted_while_messages_come_leaves_none(database: Database, thread: Thread) -> None:
    """Messages that come while their thread is deleted are in it before, or find none; none is left over."""

    async def append(number: int) -> None:
        async with database.write() as connection:
            await threads.lock(connection, OWNER, thread.id)
            await messages.insert(connection, make_message(f"msg_{number}"))

    async def delete() -> None:
        async with database.write() as connection:
            await threads.delete(connection, OWNER, thread.id)

    outcomes = await asyncio.gather(
        *map(append, range(10)), delete(), *map(append, range(10, 20)), return_exceptions=True
    )
    assert {type(outcome).__name__ for outcome in outcomes} <= {"NoneType", "NotFoundError"}
    async with database.read() as connection:
        assert await messages.recent(connection, thread.id, None) == []


#: Adds messages to a thread of its own, each in a transaction that reads before it writes.
_WRITER = """
import asyncio, sys
from microservices.assistants.objects.thread import Thread
from microservices.assistants.store import messages, threads
from tests.support.assistants_store import OWNER, make_message, opened_database

async def main(url, name, count):
    async with opened_database(url) as database:
        async with database.write() as connection:
            await threads.insert(connection, Thread(name, OWNER, 1))
        async def add(number):
            async with database.write() as connection:
                await threads.lock(connection, OWNER, name)
                await messages.insert(connection, make_message(f"{name}_{number}", name))
        await asyncio.gather(*map(add, range(count)))

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


async def test_writers_in_two_processes_lose_nothing(database_url: str, tmp_path: Path) -> None:
    """Two processes that start at once make the schema together and write at once: nothing fails, nothing is lost."""
    script = tmp_path / "writer.py"
    script.write_text(_WRITER)
    environment = {**clean_environment(), "PYTHONPATH": str(PROJECT_ROOT)}
    writers = [
        await asyncio.create_subprocess_exec(
            sys.executable, script, database_url, f"thread_{number}", str(_MESSAGES_PER_WRITER),
            env=environment, stderr=asyncio.subprocess.PIPE,
        )
        for number in range(_WRITERS)
    ]  # fmt: skip
    async with asyncio.timeout(_WRITER_SECONDS):
        errors = [(await writer.communicate())[1].decode() for writer in writers]
    assert errors == [""] * _WRITERS
    async with opened_database(database_url) as database, database.read() as connection:
        for number in range(_WRITERS):
            assert len(await messages.recent(connection, f"thread_{number}", None)) == _MESSAGES_PER_WRITER
