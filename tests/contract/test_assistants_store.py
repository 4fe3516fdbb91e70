"""The store's repositories, over SQLite and PostgreSQL alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from microservices.assistants.objects.assistant import Assistant
from microservices.assistants.objects.message import text_block
from microservices.assistants.objects.run import ACTIVE, RunStatus
from microservices.assistants.objects.run_event import RunEvent
from microservices.assistants.objects.run_step import RunStep
from microservices.assistants.objects.thread import Thread
from microservices.assistants.store import assistants, messages, run_events, run_steps, runs, tables, threads
from microservices.assistants.store.database import Database
from microservices.assistants.store.paging import PageQuery
from microservices.assistants.store.runs import ActiveRunError
from servicekit.errors import NotFoundError
from tests.support.assistants_store import OTHER, OWNER, make_message, make_run

THREAD = Thread("thread_1", OWNER, 1)
ALL = PageQuery(order="asc")


async def _with_thread(database: Database) -> None:
    async with database.write() as connection:
        await threads.insert(connection, THREAD)


async def test_assistant_comes_back_as_it_was_stored(database: Database) -> None:
    """Every field of an assistant survives, nulls and texts of any script included."""
    assistant = Assistant(
        id="asst_1", owner=OWNER, created_at=2**33, model="translate-and-grade", name="数学 'tutor'", description=None,
        instructions="\N{GRINNING FACE}\n", tools=[{"type": "file_search"}],
        tool_resources={"file_search": {"vector_store_ids": ["vs_1"]}}, metadata={"a": ""}, temperature=0.1, top_p=1.0,
        response_format="auto", reasoning_effort="low",
    )  # fmt: skip
    bare = Assistant("asst_2", OWNER, 1, "m")
    async with database.write() as connection:
        await assistants.insert(connection, assistant)
        await assistants.insert(connection, bare)
    async with database.read() as connection:
        assert await assistants.get(connection, OWNER, "asst_1") == assistant
        assert await assistants.get(connection, OWNER, "asst_2") == bare


async def test_assistant_changes_where_its_changes_say(database: Database) -> None:
    """An update changes the fields that it names, JSON and null too, and no others; an empty one changes nothing."""
    assistant = Assistant("asst_1", OWNER, 1, "m", name="n", response_format={"type": "json_object"})
    async with database.write() as connection:
        await assistants.insert(connection, assistant)
        await assistants.insert(connection, replace(assistant, id="asst_2"))
        await assistants.update(connection, "asst_1", {"name": None, "metadata": {"k": "v"}, "response_format": None})
        await assistants.update(connection, "asst_1", {})
        changed = replace(assistant, name=None, metadata={"k": "v"}, response_format=None)
        assert await assistants.get(connection, OWNER, "asst_1") == changed
        assert (await assistants.get(connection, OWNER, "asst_2")).name == "n"


async def test_assistant_and_thread_are_not_there_for_others(database: Database) -> None:
    """What another owner asks for is not found, is not deleted, and is in no page of theirs."""
    async with database.write() as connection:
        await assistants.insert(connection, Assistant("asst_1", OWNER, 1, "m"))
        await threads.insert(connection, THREAD)
        for ask in (assistants.get, assistants.delete):
            with pytest.raises(NotFoundError, match=r"^No assistant found with id 'asst_1'\.$"):
                await ask(connection, OTHER, "asst_1")
        for look in (threads.get, threads.lock, threads.delete):
            with pytest.raises(NotFoundError, match=r"^No thread found with id 'thread_1'\.$"):
                await look(connection, OTHER, "thread_1")
        assert not (await assistants.page(connection, OTHER, ALL)).items
        assert (await assistants.page(connection, OWNER, ALL)).items
        assert await threads.lock(connection, OWNER, "thread_1") == THREAD


async def test_assistant_deleted_twice_is_not_found(database: Database) -> None:
    """Deleting works once; then there is nothing to delete."""
    async with database.write() as connection:
        await assistants.insert(connection, Assistant("asst_1", OWNER, 1, "m"))
        await assistants.delete(connection, OWNER, "asst_1")
        with pytest.raises(NotFoundError):
            await assistants.delete(connection, OWNER, "asst_1")


async def test_message_comes_back_and_changes(database: Database) -> None:
    """A message survives with all its fields; its changes, too."""
    message = make_message("msg_1", status="in_progress", assistant_id="asst_1", run_id="run_1", attachments=[{"a": 1}])
    await _with_thread(database)
    async with database.write() as connection:
        await messages.insert(connection, message)
        assert await messages.get(connection, "thread_1", "msg_1") == message
        changes: dict[str, Any] = {
            "status": "completed",
            "completed_at": 12,
            "content": [text_block("done")],
            "metadata": {"g": "1"},
        }
        await messages.update(connection, "msg_1", changes)
        assert await messages.get(connection, "thread_1", "msg_1") == replace(message, **changes)


async def test_message_of_another_thread_is_not_found(database: Database) -> None:
    """A message is found and deleted in its own thread only."""
    async with database.write() as connection:
        await threads.insert(connection, THREAD)
        await threads.insert(connection, replace(THREAD, id="thread_2"))
        await messages.insert(connection, make_message("msg_1"))
        for ask in (messages.get, messages.delete):
            with pytest.raises(NotFoundError, match=r"^No message found with id 'msg_1'\.$"):
                await ask(connection, "thread_2", "msg_1")
        await messages.delete(connection, "thread_1", "msg_1")
        assert not (await messages.page(connection, "thread_1", ALL)).items


async def test_messages_recent_are_the_last_ones_oldest_first(database: Database) -> None:
    """`recent` gives the end of a thread in reading order, or all of it."""
    await _with_thread(database)
    async with database.write() as connection:
        await messages.insert_many(connection, [make_message(f"msg_{number}") for number in range(5)])
        await messages.insert_many(connection, [])
        assert [item.id for item in await messages.recent(connection, "thread_1", 2)] == ["msg_3", "msg_4"]
        assert (await messages.recent(connection, "thread_1", None))[0].id == "msg_0"
        assert len(await messages.recent(connection, "thread_1", None)) == 5
        assert await messages.recent(connection, "thread_2", 2) == []


async def test_messages_page_of_one_run_holds_its_own(database: Database) -> None:
    """A list with a run's id holds the messages that it made."""
    await _with_thread(database)
    async with database.write() as connection:
        await messages.insert_many(connection, [make_message("msg_1"), make_message("msg_2", run_id="run_1")])
        page = await messages.page(connection, "thread_1", ALL, run_id="run_1")
    assert [item.id for item in page.items] == ["msg_2"]


async def test_run_comes_back_with_its_status(database: Database) -> None:
    """A run survives with all its fields; its status is a RunStatus again."""
    run = make_run(
        "run_1", tools=[{"type": "function"}], tool_choice={"type": "function", "function": {"name": "f"}}, usage=None,
        parallel_tool_calls=False, temperature=0.5, required_action={"a": []}, expires_at=99, attempts=2,
    )  # fmt: skip
    await _with_thread(database)
    async with database.write() as connection:
        await runs.insert(connection, run)
        found = await runs.get(connection, OWNER, "thread_1", "run_1")
        assert found == run
        assert found.status is RunStatus.QUEUED
        assert await runs.find(connection, "run_1") == run
        assert await runs.find(connection, "run_2") is None


@pytest.mark.parametrize(("owner", "thread_id"), [(OTHER, "thread_1"), (OWNER, "thread_2")])
async def test_run_is_not_found_elsewhere(database: Database, owner: str, thread_id: str) -> None:
    """A run is found by its owner in its own thread only."""
    await _with_thread(database)
    async with database.write() as connection:
        await runs.insert(connection, make_run("run_1"))
        with pytest.raises(NotFoundError, match=r"^No run found with id 'run_1'\.$"):
            await runs.get(connection, owner, thread_id, "run_1")
        assert not (await runs.page(connection, owner, thread_id, ALL)).items


@pytest.mark.parametrize("status", sorted(ACTIVE))
async def test_run_second_active_one_is_refused_and_the_transaction_goes_on(
    database: Database, status: RunStatus
) -> None:
    """A thread with an active run takes no other, by a 400 that names it; what else the transaction did stays."""
    await _with_thread(database)
    async with database.write() as connection:
        await runs.insert(connection, make_run("run_1", status=status))
        with pytest.raises(ActiveRunError, match=r"^Thread thread_1 already has an active run run_1\.$") as raised:
            await runs.insert(connection, make_run("run_2"))
        await messages.insert(connection, make_message("msg_1"))
        assert await runs.active_of(connection, "thread_1") == make_run("run_1", status=status)
    assert raised.value.status == 400
    async with database.read() as connection:
        assert (await messages.get(connection, "thread_1", "msg_1")).text == "hello"


@pytest.mark.parametrize("status", sorted(set(RunStatus) - ACTIVE))
async def test_run_that_has_ended_leaves_its_thread_free(database: Database, status: RunStatus) -> None:
    """Behind a run that has ended, the next one starts."""
    await _with_thread(database)
    async with database.write() as connection:
        await runs.insert(connection, make_run("run_1", status=status))
        assert await runs.active_of(connection, "thread_1") is None
        await runs.insert(connection, make_run("run_2"))


async def test_run_changes_only_from_an_expected_status_and_attempt(database: Database) -> None:
    """A change is made where the status and the attempt are those expected; else nothing is, and it says so."""
    await _with_thread(database)
    waiting = [RunStatus.QUEUED, RunStatus.REQUIRES_ACTION]
    async with database.write() as connection:
        await runs.insert(connection, make_run("run_1"))
        assert await runs.update_if(connection, "run_1", waiting, {"status": RunStatus.IN_PROGRESS, "attempts": 1})
        assert not await runs.update_if(connection, "run_1", waiting, {"status": RunStatus.FAILED})
        done = {"status": RunStatus.COMPLETED, "usage": {"total_tokens": 3}}
        assert not await runs.update_if(connection, "run_1", ACTIVE, done, attempt=2)
        assert await runs.is_at_work(connection, "run_1", 1)
        assert not await runs.is_at_work(connection, "run_1", 2)
        assert await runs.update_if(connection, "run_1", ACTIVE, done, attempt=1)
        assert not await runs.update_if(connection, "run_2", ACTIVE, done)
        ended = await runs.get(connection, OWNER, "thread_1", "run_1")
    assert (ended.status, ended.usage) == (RunStatus.COMPLETED, {"total_tokens": 3})


async def test_runs_due_are_active_and_past_their_time(database: Database) -> None:
    """What is due has not ended and its time is over, the longest first."""
    async with database.write() as connection:
        for number, (status, expires_at) in enumerate(
            [
                (RunStatus.QUEUED, 50),
                (RunStatus.IN_PROGRESS, 40),
                (RunStatus.QUEUED, 51),
                (RunStatus.COMPLETED, 10),
                (RunStatus.REQUIRES_ACTION, None),
            ]
        ):
            await threads.insert(connection, replace(THREAD, id=f"thread_{number}"))
            run = make_run(f"run_{number}", f"thread_{number}", status=status, expires_at=expires_at)
            await runs.insert(connection, run)
        assert [run.id for run in await runs.due(connection, 50)] == ["run_1", "run_0"]
        wanted = [RunStatus.QUEUED, RunStatus.COMPLETED]
        assert [run.id for run in await runs.with_status(connection, wanted, 2)] == ["run_0", "run_2"]


async def test_run_steps_are_found_in_their_run(database: Database) -> None:
    """Steps come back in their order, change, and are found in their own run only."""
    await _with_thread(database)
    first = RunStep("step_1", "run_1", "thread_1", "asst_1", 1, "tool_calls", {"type": "tool_calls", "tool_calls": []})
    second = replace(first, id="step_2", type="message_creation", metadata={"grade_score": "1"})
    async with database.write() as connection:
        await runs.insert(connection, make_run("run_1"))
        await run_steps.insert(connection, first)
        await run_steps.insert(connection, second)
        assert await run_steps.last_open(connection, "run_1") == second
        await run_steps.update(connection, "step_2", {"status": "completed", "completed_at": 4, "usage": {"a": 1}})
        assert await run_steps.last_open(connection, "run_1") == first
        await run_steps.update(connection, "step_1", {"status": "failed"})
        assert await run_steps.last_open(connection, "run_1") is None
        assert [step.id for step in await run_steps.of_run(connection, "run_1")] == ["step_1", "step_2"]
        assert [step.id for step in (await run_steps.page(connection, "run_1", ALL)).items] == ["step_1", "step_2"]
        changed = replace(second, status="completed", completed_at=4, usage={"a": 1})
        assert await run_steps.get(connection, "run_1", "step_2") == changed
        with pytest.raises(NotFoundError, match=r"^No run step found with id 'step_1'\.$"):
            await run_steps.get(connection, "run_2", "step_1")


async def test_run_events_are_read_after_a_number(database: Database) -> None:
    """Events come back in their order with the same bytes, a bounded number behind a given one."""
    await _with_thread(database)
    events = [RunEvent(number, "thread.message.delta", f'{{"é":{number}}}'.encode()) for number in range(1, 6)]
    async with database.write() as connection:
        await runs.insert(connection, make_run("run_1"))
        assert await run_events.last_number(connection, "run_1") == 0
        await run_events.append(connection, "run_1", [])
        await run_events.append(connection, "run_1", events[:3])
        await run_events.append(connection, "run_1", events[3:])
        assert await run_events.after(connection, "run_1", 0, 100) == events
        assert await run_events.after(connection, "run_1", 2, 2) == events[2:4]
        assert await run_events.last_number(connection, "run_1") == 5
        assert await run_events.after(connection, "run_2", 0, 100) == []


async def test_run_events_of_old_ended_runs_are_pruned(database: Database) -> None:
    """Pruning takes the events of runs that are old and have ended, so many at a time, and no others."""
    async with database.write() as connection:
        for number, (status, created_at) in enumerate(
            [(RunStatus.COMPLETED, 1), (RunStatus.FAILED, 2), (RunStatus.IN_PROGRESS, 1), (RunStatus.COMPLETED, 9)]
        ):
            await threads.insert(connection, replace(THREAD, id=f"thread_{number}"))
            run = make_run(f"run_{number}", f"thread_{number}", status=status, created_at=created_at)
            await runs.insert(connection, run)
            await run_events.append(connection, run.id, [RunEvent(1, "a", b"{}"), RunEvent(2, "b", b"{}")])
        assert await run_events.prune(connection, before=5, limit=1) == 1
        assert await run_events.prune(connection, before=5, limit=9) == 1
        assert await run_events.prune(connection, before=5) == 0
        left = [await run_events.last_number(connection, f"run_{number}") for number in range(4)]
    assert left == [0, 0, 2, 2]


async def test_thread_deleted_takes_all_that_is_its_own(database: Database) -> None:
    """With a thread go its messages, runs, run steps and events; other threads keep theirs."""
    async with database.write() as connection:
        for number in (1, 2):
            thread_id, run_id = f"thread_{number}", f"run_{number}"
            await threads.insert(connection, replace(THREAD, id=thread_id))
            await messages.insert(connection, make_message(f"msg_{number}", thread_id))
            await runs.insert(connection, make_run(run_id, thread_id))
            step = RunStep(f"step_{number}", run_id, thread_id, "asst_1", 1, "tool_calls", {})
            await run_steps.insert(connection, step)
            await run_events.append(connection, run_id, [RunEvent(1, "a", b"{}")])
    async with database.write() as connection:
        await threads.delete(connection, OWNER, "thread_1")
    async with database.read() as connection:
        for table in (tables.threads, tables.messages, tables.runs, tables.run_steps, tables.run_events):
            assert len((await connection.execute(table.select())).all()) == 1, table.name
        assert await runs.find(connection, "run_2") is not None


async def test_thread_changes_survive(database: Database) -> None:
    """A thread's metadata and tool resources can be changed."""
    await _with_thread(database)
    async with database.write() as connection:
        await threads.update(connection, "thread_1", {"metadata": {"a": "b"}, "tool_resources": {"file_search": {}}})
        changed = replace(THREAD, metadata={"a": "b"}, tool_resources={"file_search": {}})
        assert await threads.get(connection, OWNER, "thread_1") == changed


async def test_write_that_fails_leaves_nothing(database: Database) -> None:
    """An exception in a transaction undoes all of it; the next transaction is not hindered."""

    async def fail() -> None:
        async with database.write() as connection:
            await threads.insert(connection, THREAD)
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        await fail()
    async with database.write() as connection:
        with pytest.raises(NotFoundError):
            await threads.get(connection, OWNER, "thread_1")
