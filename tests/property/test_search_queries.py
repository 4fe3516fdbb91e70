"""Any text can be asked, and any text can be searched."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from microservices.assistants.objects.file import File
from microservices.assistants.objects.vector_store import VectorStore
from microservices.assistants.objects.vector_store_file import VectorStoreFile
from microservices.assistants.search.words import query_words, words_of
from microservices.assistants.store import chunk_search, chunks, files, vector_store_files, vector_stores
from microservices.assistants.store.chunks import Chunk
from microservices.assistants.store.database import Database

#: What the two query languages are made of, among any other characters.
_OPERATORS = [
    "'",
    '"',
    "*",
    "^",
    ":",
    "(",
    ")",
    "{",
    "}",
    "-",
    "+",
    "NEAR",
    "AND",
    "OR",
    "NOT",
    "&",
    "|",
    "!",
    "<->",
    "\\",
]
_QUESTIONS = st.text() | st.lists(st.sampled_from([*_OPERATORS, " ", "zebra", "è", "日本", "हि"]) | st.text()).map(
    "".join
)
_ANY = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest_asyncio.fixture
async def searched(database: Database) -> AsyncIterator[Database]:
    """Give a database with one vector store, of one chunk about a zebra."""
    async with database.write() as connection:
        await files.add(connection, File("file-1", "", 1, "a.txt", "assistants", 7))
        await vector_stores.add(connection, VectorStore("vs_1", "", 1, 1))
        await vector_store_files.add(connection, [VectorStoreFile("file-1", "vs_1", 1, {}, "completed")])
        await chunks.add(connection, "vs_1", "file-1", [Chunk(0, 0, 7, None, "a zebra", "a zebra")])
    yield database


@_ANY
@given(question=_QUESTIONS)
async def test_any_question_is_harmless(question: str, searched: Database) -> None:
    """It is no error, finds the chunk if it has one of its words, and changes nothing."""
    words = query_words(question)
    async with searched.read() as connection:
        found = await chunk_search.by_words(connection, ["vs_1"], None, words, 5)
        assert len(await chunks.of_file(connection, "vs_1", "file-1")) == 1
    if {"a", "zebra"}.intersection(word.text for word in words):
        assert [item.seq for item in found] == [1]
    assert all(item.score > 0 for item in found)


@_ANY
@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
async def test_text_is_found_by_its_own_words(text: str, searched: Database) -> None:
    """Whatever the script: a chunk with at least one word answers a question that is its own text."""
    words = " ".join(words_of(text))
    async with searched.engine.connect() as connection:
        if searched.is_sqlite:
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
        await chunks.add(connection, "vs_1", "file-1", [Chunk(1, 0, len(text), None, text, words)])
        found = await chunk_search.by_words(connection, ["vs_1"], None, query_words(text), 5)
        await connection.rollback()
    assert bool(words) == any(item.seq != 1 for item in found)
