"""Finds chunks by words: BM25 on SQLite, cover density weighted by rarity on PostgreSQL.

A question's words are alternatives: the more of them, and the rarer they are, the better. Nothing of a question is
ever part of a statement's text, and its words hold letters and digits only, so no operator of either query language
can be in them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import TextClause

#: PostgreSQL's ranking knows nothing of rarity: words that are in more of the chunks only cost time.
_COMMON = 0.5
#: Where there are so few chunks, no word is common.
_FEW = 50


@dataclass(frozen=True, slots=True)
class QueryWord:
    """A word of a question.

    Attributes:
        text: The word, folded: letters, digits and marks of scripts only.
        stem: Words that begin so count, too, but less; None if only the word itself counts.
    """

    text: str
    stem: str | None = None


class Scored(NamedTuple):
    """The number of a chunk, and its score: higher is better, comparable within one search only."""

    seq: int
    score: float


async def by_words(
    connection: AsyncConnection,
    store_ids: Sequence[str],
    file_ids: Sequence[str] | None,
    words: Sequence[QueryWord],
    limit: int,
) -> list[Scored]:
    """Return the chunks that a question's words find, best first.

    Args:
        connection: To read with.
        store_ids: The vector stores to look into.
        file_ids: Chunks of these files only, or None: of all.
        words: The question's.
        limit: How many chunks at most.
    """
    if not (store_ids and words) or file_ids == []:
        return []
    if connection.dialect.name == "sqlite":
        return await _by_bm25(connection, store_ids, file_ids, words, limit)
    return await _by_cover_density(connection, store_ids, file_ids, words, limit)


async def _by_bm25(
    connection: AsyncConnection,
    store_ids: Sequence[str],
    file_ids: Sequence[str] | None,
    words: Sequence[QueryWord],
    limit: int,
) -> list[Scored]:
    """Search by SQLite's FTS5, https://www.sqlite.org/fts5.html#the_bm25_function; its best score is the lowest."""
    files = "" if file_ids is None else "AND chunks.file_id IN :files"
    statement = _bound(
        f"""SELECT chunks.seq, -bm25(chunk_words, 0.0, 1.0) AS score
        FROM chunk_words JOIN chunks ON chunks.seq = chunk_words.rowid
        WHERE chunk_words MATCH :query AND chunks.vector_store_id IN :stores {files}
        ORDER BY score DESC, chunks.seq LIMIT :limit""",  # noqa: S608 - one of two constants
        stores=store_ids,
        files=file_ids,
        query=fts5_query(store_ids, words),
        limit=limit,
    )
    return [Scored(seq, score) for seq, score in (await connection.execute(statement)).all()]


def fts5_query(store_ids: Sequence[str], words: Sequence[QueryWord]) -> str:
    """Return what FTS5's MATCH takes: chunks of these vector stores that hold any of the words."""
    stores = " OR ".join(_fts5_string(store_id.replace("_", " ")) for store_id in store_ids)
    exact = [_fts5_string(word.text) for word in words]
    stems = [f"{_fts5_string(word.stem)} *" for word in words if word.stem is not None]
    return f"{{vector_store_id}} : ({stores}) AND {{words}} : ({' OR '.join([*exact, *stems])})"


def _fts5_string(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


async def _by_cover_density(
    connection: AsyncConnection,
    store_ids: Sequence[str],
    file_ids: Sequence[str] | None,
    words: Sequence[QueryWord],
    limit: int,
) -> list[Scored]:
    """Search by PostgreSQL's `ts_rank_cd` of each word, by the word's rarity, over the logarithm of the length."""
    weights = await _weights(connection, store_ids, words)
    if not weights:
        return []
    queries = {f"word_{number}": query for number, query in enumerate(weights)}
    sum_of_ranks = " + ".join(
        f"{weight:.6f} * ts_rank_cd(word_vector, to_tsquery('pg_catalog.simple', :{name}), 1)"
        for name, weight in zip(queries, weights.values(), strict=True)
    )
    files = "" if file_ids is None else "AND file_id IN :files"
    statement = _bound(
        f"""SELECT seq, {sum_of_ranks} AS score FROM chunks
        WHERE vector_store_id IN :stores AND word_vector @@ to_tsquery('pg_catalog.simple', :any_word) {files}
        ORDER BY score DESC, seq LIMIT :limit""",  # noqa: S608 - numbers and names of parameters
        stores=store_ids,
        files=file_ids,
        any_word=" | ".join(weights),
        limit=limit,
        **queries,
    )
    return [Scored(seq, score) for seq, score in (await connection.execute(statement)).all()]


async def _weights(
    connection: AsyncConnection, store_ids: Sequence[str], words: Sequence[QueryWord]
) -> dict[str, float]:
    """Return the query of each word that is there and not common, with BM25's inverse document frequency of it."""
    queries = {f"word_{number}": ts_query(word) for number, word in enumerate(words)}
    count = "(SELECT count(*) FROM chunks WHERE vector_store_id IN :stores{})"
    matching = [count.format(f" AND word_vector @@ to_tsquery('pg_catalog.simple', :{name})") for name in queries]
    statement = _bound("SELECT " + ", ".join([count.format(""), *matching]), stores=store_ids, **queries)
    total, *frequencies = (await connection.execute(statement)).one()
    found = {query: frequency for query, frequency in zip(queries.values(), frequencies, strict=True) if frequency}
    most = max(_FEW, _COMMON * total)
    rare = {query: frequency for query, frequency in found.items() if frequency <= most} or found
    return {query: math.log1p((total - number + 0.5) / (number + 0.5)) for query, number in rare.items()}


def ts_query(word: QueryWord) -> str:
    """Return what `to_tsquery` takes for a word."""
    exact = _ts_string(word.text)
    return exact if word.stem is None else f"({exact} | {_ts_string(word.stem)}:*)"


def _ts_string(value: str) -> str:
    return "'" + value.replace("\\", "").replace("'", "''") + "'"


def _bound(
    statement: str, *, stores: Sequence[str], files: Sequence[str] | None = None, **values: object
) -> TextClause:
    """Return a statement with its values; lists of ids become lists of parameters."""
    lists: list[BindParameter[Any]] = [bindparam("stores", list(stores), expanding=True)]
    if files is not None:
        lists.append(bindparam("files", list(files), expanding=True))
    return text(statement).bindparams(*lists, **values)
