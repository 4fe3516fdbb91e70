"""The chunks of the files of vector stores."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ColumnElement, Row, bindparam, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from microservices.assistants.objects.json_object import JsonObject
from microservices.assistants.store import file_tables, search_tables
from microservices.assistants.store.rows import delete_where

_TABLE = search_tables.chunks
_FILES = search_tables.vector_store_files
_VECTORS_PER_READ = 500


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of a file's text, as it is to be stored.

    Attributes:
        number: Counts from 0 within the file.
        start_offset: Of its first character in the file's text.
        end_offset: Behind its last one.
        page: On which it begins, from 1; None where there are no pages.
        words: What finds it, see `search/words.py`.
    """

    number: int
    start_offset: int
    end_offset: int
    page: int | None
    text: str
    words: str


class FoundChunk(NamedTuple):
    """A chunk that a search found, with what is known of its file."""

    seq: int
    file_id: str
    filename: str
    attributes: JsonObject
    text: str
    words: str


class ChunkVector(NamedTuple):
    """The number of a chunk, and its unit vector as bytes."""

    seq: int
    embedding: bytes


async def add(connection: AsyncConnection, store_id: str, file_id: str, chunks: Sequence[Chunk]) -> None:
    """Add chunks of a file of a vector store."""
    of = {"vector_store_id": store_id, "file_id": file_id}
    rows = [of | {name: getattr(chunk, name) for name in Chunk.__slots__} for chunk in chunks]
    await connection.execute(insert(_TABLE), rows)


async def delete(connection: AsyncConnection, store_id: str, file_id: str) -> None:
    """Delete the chunks of a file of a vector store."""
    await delete_where(connection, _TABLE, *_are_of(store_id, file_id))


async def of_file(connection: AsyncConnection, store_id: str, file_id: str) -> Sequence[Row[tuple[int, int, str]]]:
    """Return start, end and text of a file's chunks, in their order."""
    columns = (_TABLE.c.start_offset, _TABLE.c.end_offset, _TABLE.c.text)
    statement = select(*columns).where(*_are_of(store_id, file_id)).order_by(_TABLE.c.number)
    return (await connection.execute(statement)).all()


async def found(connection: AsyncConnection, seqs: Sequence[int]) -> dict[int, FoundChunk]:
    """Return chunks by their numbers; those of files that are not indexed to their end are left out."""
    files = file_tables.files
    statement = (
        select(_TABLE.c.seq, _TABLE.c.file_id, files.c.filename, _FILES.c.attributes, _TABLE.c.text, _TABLE.c.words)
        .join(_FILES, (_FILES.c.vector_store_id == _TABLE.c.vector_store_id) & (_FILES.c.id == _TABLE.c.file_id))
        .join(files, files.c.id == _TABLE.c.file_id)
        .where(_TABLE.c.seq.in_(seqs), _FILES.c.status == "completed")
    )
    return {row.seq: FoundChunk(*row) for row in (await connection.execute(statement)).all()}


async def vectors(
    connection: AsyncConnection, store_ids: Sequence[str], file_ids: Sequence[str] | None, model: str
) -> AsyncGenerator[list[ChunkVector]]:
    """Yield the vectors that a model made of the chunks of vector stores, some at a time.

    Args:
        connection: To read with.
        store_ids: Whose.
        file_ids: Of these files only, or None: of all.
        model: Who made them.
    """
    where = [_TABLE.c.vector_store_id.in_(store_ids), _TABLE.c.embedding_model == model]
    if file_ids is not None:
        where.append(_TABLE.c.file_id.in_(file_ids))
    last = 0
    while True:
        statement = select(_TABLE.c.seq, _TABLE.c.embedding).where(*where, _TABLE.c.seq > last)
        rows = (await connection.execute(statement.order_by(_TABLE.c.seq).limit(_VECTORS_PER_READ))).all()
        if not rows:
            return
        yield [ChunkVector(seq, embedding) for seq, embedding in rows if embedding]
        last = rows[-1].seq


async def without_vector(connection: AsyncConnection, model: str, limit: int) -> list[tuple[int, str]]:
    """Return number and text of chunks that a model has made no vector of, the oldest first."""
    is_missing = or_(_TABLE.c.embedding_model.is_(None), _TABLE.c.embedding_model != model)
    statement = select(_TABLE.c.seq, _TABLE.c.text).where(is_missing).order_by(_TABLE.c.seq).limit(limit)
    return [(row.seq, row.text) for row in (await connection.execute(statement)).all()]


async def set_vectors(connection: AsyncConnection, model: str, embeddings: Sequence[ChunkVector]) -> None:
    """Store what a model made of chunks; those that were deleted since are left out."""
    statement = update(_TABLE).where(_TABLE.c.seq == bindparam("chunk"))
    values = [{"chunk": seq, "embedding": embedding, "embedding_model": model} for seq, embedding in embeddings]
    await connection.execute(statement, values)


def _are_of(store_id: str, file_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _TABLE.c.vector_store_id == store_id, _TABLE.c.file_id == file_id
