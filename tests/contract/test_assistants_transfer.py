"""Export and import: nothing is lost between the databases, and what was saved from OpenAI's API arrives."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from microservices.assistants.objects.assistant import Assistant
from microservices.assistants.objects.file import File
from microservices.assistants.objects.run import RunStatus
from microservices.assistants.objects.run_step import RunStep
from microservices.assistants.objects.thread import Thread
from microservices.assistants.objects.vector_store import VectorStore
from microservices.assistants.objects.vector_store_file import FileBatch, VectorStoreFile
from microservices.assistants.store import (
    assistants,
    files,
    messages,
    run_steps,
    runs,
    threads,
    vector_store_files,
    vector_stores,
)
from microservices.assistants.store.database import Database
from microservices.assistants.transfer.exporting import export_lines
from microservices.assistants.transfer.importing import Import
from microservices.assistants.transfer.kinds import END, HEADER, KINDS, Kind
from microservices.assistants.transfer.reading import Source
from microservices.assistants.transfer.report import Report
from servicekit.errors import ConfigurationError
from tests.support.assistants_store import OTHER, OWNER, make_message, make_run, opened_database

STATIC = {"type": "static", "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}}
#: More than one batch of them.
MESSAGES = 250


async def _export(database: Database) -> bytes:
    pieces = [b"".join(lines) async for lines in export_lines(database, Counter())]
    return b"".join(pieces)


async def _import(
    database: Database, data: bytes, *, replace: bool = False, owner: str | None = None, is_owner_needed: bool = False
) -> Report:
    report = Report()
    source = Source(io.BytesIO(data), report, owner=owner, is_owner_needed=is_owner_needed)
    await Import(database, source, report, is_replacing=replace, owner=owner).run()
    return report


def _lines(*objects: dict[str, Any] | str) -> bytes:
    return "\n".join(entry if isinstance(entry, str) else json.dumps(entry) for entry in objects).encode()


def _named(counts: Counter[Kind]) -> dict[str, int]:
    return {kind.name: count for kind, count in counts.items() if count}


async def _fill(database: Database) -> None:
    """Put something of everything into a store, with texts and numbers that are easily damaged."""
    odd = 'quo\'te "x" \\ \N{GRINNING FACE}\n数学'
    async with database.write() as connection:
        for part, data in enumerate([b"\x00\xff" * 500, b"", b"end"]):
            if part == 0:
                await files.add(connection, File("file-1", OWNER, 1, odd, "assistants", 1_003))
            await files.add_part(connection, "file-1", part, data)
        await vector_stores.add(connection, VectorStore("vs_1", OWNER, 1, 5, odd, None, {"anchor": "x", "days": 1}))
        await vector_store_files.add_batch(connection, FileBatch("vsfb_1", "vs_1", 2))
        file = VectorStoreFile("file-1", "vs_1", 3, STATIC, "completed", None, 17, {"n": 1.5, "b": True}, "vsfb_1")
        await vector_store_files.add(connection, [file])
        tools: list[Any] = [{"type": "function", "function": {"name": "f", "parameters": {"z": 1, "a": [None, 0.1]}}}]
        await assistants.insert(connection, Assistant("asst_1", OWNER, 2**40, "m", odd, tools=tools, temperature=0.7))
        for number in (1, 2):
            thread = Thread(f"thread_{number}", OWNER if number == 1 else OTHER, number, None, {"k": odd})
            await threads.insert(connection, thread)
        await messages.insert_many(connection, [make_message(f"msg_{i}", text=f"{odd}{i}") for i in range(MESSAGES)])
        await messages.insert(connection, make_message("msg_other", "thread_2", metadata={"grade_score": "0.5"}))
        ended: dict[str, Any] = {"usage": {"total_tokens": 3}, "completed_at": 9, "status": RunStatus.COMPLETED}
        await runs.insert(connection, make_run("run_1", temperature=1e-7, response_format=None, attempts=2, **ended))
        await runs.insert(connection, make_run("run_2", expires_at=99, tool_choice={"type": "function"}))
        step = RunStep(
            "step_1", "run_1", "thread_1", "asst_1", 1, "tool_calls", {"tool_calls": [{"id": odd}]}, "failed"
        )
        await run_steps.insert(connection, step)


async def test_export_moves_there_and_back_without_loss(database: Database, postgres_url: str, tmp_path: Path) -> None:
    """SQLite to PostgreSQL to SQLite, and the other way round: the three exports are the same bytes."""
    await _fill(database)
    first = await _export(database)
    other = postgres_url if database.is_sqlite else f"sqlite:///{tmp_path / 'other.sqlite'}"
    async with opened_database(other) as second, opened_database(f"sqlite:///{tmp_path / 'back.sqlite'}") as third:
        report = await _import(second, first)
        assert await _export(second) == first
        await _import(third, await _export(second))
        assert await _export(third) == first
        async with second.read() as connection:
            assert await files.content(connection, "file-1") == b"\x00\xff" * 500 + b"end"
            indexed_anew = await vector_store_files.get(connection, "vs_1", "file-1")
            recent = await messages.recent(connection, "thread_1", 2)
    assert not report.refusals
    assert _named(report.added)["thread.message"] == MESSAGES + 1
    assert (indexed_anew.status, indexed_anew.usage_bytes) == ("in_progress", 0)
    assert [message.id for message in recent] == [f"msg_{MESSAGES - 2}", f"msg_{MESSAGES - 1}"]


async def test_export_has_every_kind_and_its_own_end(database: Database) -> None:
    """The first line tells the version, each kind is there with parents first, the last line tells how many."""
    await _fill(database)
    lines = [json.loads(line) for line in (await _export(database)).splitlines()]
    assert lines[0] == {"object": HEADER, "version": 1}
    assert lines[-1] == {"object": END, "lines": len(lines) - 2}
    assert list(dict.fromkeys(line["object"] for line in lines[1:-1])) == [kind.name for kind in KINDS]


async def test_export_is_one_moment_while_others_write(database: Database) -> None:
    """What is added while an export is read is not in it, not even half of it."""
    await _fill(database)
    expected = await _export(database)
    pieces: list[bytes] = []
    async for lines in export_lines(database, Counter()):
        pieces += lines
        if len(pieces) > 1:
            async with database.write() as connection:
                name = f"thread_late_{len(pieces)}"
                await threads.insert(connection, Thread(name, OWNER, 1))
                await messages.insert(connection, make_message(f"late_{len(pieces)}", name))
    assert b"".join(pieces) == expected


async def test_import_twice_adds_nothing_twice(database: Database) -> None:
    """The second time everything is there already, and stays as it has become since."""
    await _fill(database)
    exported = await _export(database)
    async with database.write() as connection:
        await assistants.update(connection, "asst_1", {"name": "renamed"})
    before = await _export(database)
    report = await _import(database, exported)
    assert (_named(report.added), _named(report.replaced), report.refused) == ({}, {}, 0)
    assert report.skipped.total() == len(exported.splitlines()) - 2
    assert await _export(database) == before


async def test_import_replacing_makes_it_as_in_the_file(database: Database) -> None:
    """With --replace everything is as in the file again, a file's content with fewer pieces, too."""
    await _fill(database)
    exported = await _export(database)
    async with database.write() as connection:
        await assistants.update(connection, "asst_1", {"name": "renamed", "metadata": {"new": "1"}})
        await messages.update(connection, "msg_3", {"content": []})
        await files.add_part(connection, "file-1", 3, b"more")
    report = await _import(database, exported, replace=True)
    assert report.refused == 0
    assert await _export(database) == exported


async def test_import_that_is_cut_off_says_so_and_can_be_done_again(database: Database, tmp_path: Path) -> None:
    """Half of an export is imported and told to be half; the whole one adds the rest."""
    await _fill(database)
    whole = await _export(database)
    half = b"".join(whole.splitlines(keepends=True)[:100])
    async with opened_database(f"sqlite:///{tmp_path / 'new.sqlite'}") as new:
        report = await _import(new, half)
        assert [(line, reason[:27]) for line, reason in report.refusals] == [(101, "the file is cut off here. E")]
        assert (await _import(new, whole)).refused == 0
        assert await _export(new) == whole


SAVED: list[dict[str, Any]] = [
    {
        "id": "asst_abc", "object": "assistant", "created_at": 1698984975, "name": "Math Tutor", "model": "gpt-4o",
        "tools": [{"type": "retrieval"}], "file_ids": ["file-1"], "unknown": {"a": 1}, "metadata": {},
    },
    {
        "id": "msg_2", "object": "thread.message", "created_at": 1700000001, "thread_id": "thread_x",
        "role": "assistant", "content": [{"type": "text", "text": {"value": "4", "annotations": []}}],
        "attachments": None, "metadata": {},
    },
    {
        "id": "msg_1", "object": "thread.message", "created_at": 1700000000, "thread_id": "thread_x", "role": "user",
        "content": "2+2?", "file_ids": ["file-1"],
    },
    {
        "object": "list", "has_more": False,
        "data": [{"id": "thread_x", "object": "thread", "created_at": 1699999999, "metadata": {"user": "ada"}}],
    },
    {
        "id": "file-1", "object": "file", "bytes": 1, "created_at": 1, "filename": "a.txt", "purpose": "assistants",
        "status": "processed", "content": base64.b64encode(b"x" * 1_500_000).decode(),
    },
    {
        "id": "vs_1", "object": "vector_store", "created_at": 4, "name": None, "file_counts": {"total": 1},
        "last_active_at": None, "metadata": None,
    },
    {
        "id": "file-1", "object": "vector_store.file", "created_at": 4, "vector_store_id": "vs_1",
        "status": "completed", "chunking_strategy": {"type": "other"},
    },
    {
        "id": "run_1", "object": "thread.run", "created_at": 5, "thread_id": "thread_x", "assistant_id": None,
        "status": "in_progress", "model": "gpt-4o", "instructions": None, "tools": None, "truncation_strategy": None,
    },
    {
        "id": "step_1", "object": "thread.run.step", "created_at": 5, "thread_id": "thread_x", "run_id": "run_1",
        "assistant_id": None, "type": "message_creation", "status": "in_progress", "step_details": {},
    },
]  # fmt: skip


async def test_import_of_what_was_saved_from_openai(database: Database) -> None:
    """Plain objects arrive with their ids, oldest message first, older words in today's, and nothing runs on."""
    report = await _import(database, _lines(*SAVED))
    assert report.refusals == []
    async with database.read() as connection:
        assert (await assistants.get(connection, "", "asst_abc")).tools == [{"type": "file_search"}]
        thread = await threads.get(connection, "", "thread_x")
        found = await messages.recent(connection, "thread_x", None)
        run = await runs.get(connection, "", "thread_x", "run_1")
        step = await run_steps.get(connection, "run_1", "step_1")
        content = await files.content(connection, "file-1")
        file = await files.get(connection, "", "file-1")
        indexed = await vector_store_files.get(connection, "vs_1", "file-1")
    assert (thread.created_at, thread.metadata) == (1699999999, {"user": "ada"})
    assert [(message.id, message.text) for message in found] == [("msg_1", "2+2?"), ("msg_2", "4")]
    assert found[0].attachments == [{"file_id": "file-1", "tools": [{"type": "file_search"}]}]
    assert (run.status, step.status, run.truncation_strategy["type"]) == (RunStatus.EXPIRED, "expired", "auto")
    assert (content, file.size_bytes) == (b"x" * 1_500_000, 1_500_000)
    assert (indexed.status, indexed.chunking_strategy) == ("in_progress", STATIC)
    assert _named(report.added)["thread"] == 1


BAD: list[tuple[dict[str, Any] | str, str]] = [
    ("nonsense", "not JSON"),
    ("[1]", "not an object of the API"),
    ('{"id": "asst_1"}', "its 'object' says what it is"),
    ({"object": "batch", "id": "b"}, "the object 'batch' is not known; there are: file, "),
    ({"object": "assistant", "id": "asst_1", "created_at": 1}, "assistant asst_1: model: "),
    ({**SAVED[1], "created_at": "soon"}, "thread.message msg_2: created_at: "),
    ({**SAVED[1], "role": "robot"}, "thread.message msg_2: role: "),
    ({**SAVED[1], "content": 7}, "thread.message msg_2: something in it is not as the API shows it"),
    ({**SAVED[1], "content": [{"type": "text"}]}, "something in it is not as the API shows it"),
    ({**SAVED[0], "tools": ["retrieval"]}, "assistant asst_abc: something in it"),
    ({**SAVED[4], "content": "%%%"}, "a file needs its content, base64"),
    ({**SAVED[4], "content": None}, "a file needs its content, base64"),
    ({**SAVED[7], "thread_id": "thread_none"}, "its thread_id thread_none is neither"),
    ({**SAVED[7], "status": "asleep"}, "thread.run run_1: status: "),
    ({**SAVED[6], "vector_store_id": "vs_none"}, "neither in the file before it nor in the database"),
    ({**SAVED[0], "created_at": 10**30}, ""),
    ({"object": "file.part", "file_id": "file-9", "number": 0, "data": "eA=="}, "its file_id file-9 is neither"),
    ({"object": "thread", "id": None, "created_at": 1}, "thread None: id: "),
]


@pytest.mark.parametrize(("line", "reason"), BAD)
async def test_import_names_a_bad_line_and_takes_the_others(
    database: Database, line: dict[str, Any] | str, reason: str
) -> None:
    """A line that cannot be imported is told with its number and reason; those before and behind it are imported."""
    before, behind = ({"object": "thread", "id": f"thread_{name}", "created_at": 1} for name in ("a", "b"))
    report = await _import(database, _lines(before, "", line, behind))
    assert [entry.line for entry in report.refusals] == [3]
    assert reason in report.refusals[0].reason
    assert _named(report.added) == {"thread": 2}


async def test_import_of_a_text_that_postgresql_does_not_take_names_its_line(postgres_url: str) -> None:
    """A NUL character, which SQLite keeps, costs its own line alone."""
    entries = [{"object": "assistant", "id": f"asst_{i}", "created_at": 1, "model": "m"} for i in range(4)]
    entries[2]["name"] = "a\0b"
    async with opened_database(postgres_url) as database:
        report = await _import(database, _lines(*entries))
    assert [entry.line for entry in report.refusals] == [3]
    assert _named(report.added) == {"assistant": 3}


async def test_import_bounds_what_it_tells(database: Database) -> None:
    """Of very many bad lines the first are named and the rest is counted."""
    report = await _import(database, b"x\n" * 1_000)
    told = list(report.sentences())
    assert report.refused == 1_000
    assert len(told) == 22
    assert told[-2:] == ["... and 980 more lines.", "Imported: nothing."]


async def test_import_gives_objects_their_owner(database: Database) -> None:
    """The owner is the one that is given, else the file's; with keys an object of nobody's is refused at once."""
    await _import(database, _lines(SAVED[0]), owner=OTHER, is_owner_needed=True)
    await _import(database, _lines({**SAVED[0], "id": "asst_2", "owner": OWNER}), is_owner_needed=True)
    await _import(database, _lines(SAVED[1]), owner=OWNER)
    async with database.read() as connection:
        assert (await assistants.get(connection, OTHER, "asst_abc")).owner == OTHER
        assert (await assistants.get(connection, OWNER, "asst_2")).owner == OWNER
        assert (await threads.get(connection, OWNER, "thread_x")).owner == OWNER
    with pytest.raises(ConfigurationError, match="--api-key-env NAME"):
        await _import(database, _lines(SAVED[0]), is_owner_needed=True)


async def test_import_of_a_newer_export_is_refused_at_once(database: Database) -> None:
    """A file of a later format is not guessed at."""
    with pytest.raises(ConfigurationError, match="is an export of version 2; this program reads version 1"):
        await _import(database, _lines({"object": HEADER, "version": 2}, SAVED[0]))


async def test_imports_at_once_share_the_work(database: Database) -> None:
    """Two imports of one file at the same time store everything once and fail in nothing."""
    saved = _lines(*({"object": "thread", "id": f"thread_{i}", "created_at": 1} for i in range(600)))
    reports = await asyncio.gather(_import(database, saved), _import(database, saved))
    assert [report.refused for report in reports] == [0, 0]
    assert sum(report.added.total() for report in reports) == 600
