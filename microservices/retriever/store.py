"""Documents, passages, their full text and their vectors, in one SQLite file.

Every method blocks: call it in a thread. The full text is FTS5's, ranked by BM25 (https://www.sqlite.org/fts5.html).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from microservices.retriever.passages import NewDocument, Passage, StoredDocument, Vectors
from servicekit.documents.ranking import vector_from_bytes
from servicekit.errors import ConfigurationError, InternalError, InvalidRequestError

FILE_NAME = "retriever.sqlite3"

#: Raised with every change of the tables; a file of another version is not touched.
_VERSION = 1
_BUSY_SECONDS = 10.0
_SCHEMA = """
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, digest TEXT NOT NULL, origin TEXT NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE TABLE passages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, document_id INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    position INTEGER NOT NULL, text TEXT NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL, page INTEGER,
    vector BLOB
);
CREATE INDEX passages_of_document ON passages (document_id, position);
CREATE INDEX passages_without_vector ON passages (id) WHERE vector IS NULL;
CREATE TABLE embedding (model TEXT NOT NULL);
CREATE VIRTUAL TABLE passage_words USING fts5 (
    text, content='passages', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2'
);
CREATE TRIGGER passage_added AFTER INSERT ON passages BEGIN
    INSERT INTO passage_words (rowid, text) VALUES (new.id, new.text);
END;
CREATE TRIGGER passage_removed AFTER DELETE ON passages BEGIN
    INSERT INTO passage_words (passage_words, rowid, text) VALUES ('delete', old.id, old.text);
END;
"""
_PASSAGE = 'SELECT p.id, d.name, p.position, p.text, p.start, p."end", p.page FROM passages p'
_PASSAGES = f"{_PASSAGE} JOIN documents d ON d.id = p.document_id"


class Store:
    """One file, used by one connection; another process may use it at the same time.

    Args:
        folder: Made if it is not there; None keeps everything in memory.
        max_passages: More are refused.

    Raises:
        ConfigurationError: The folder cannot be used, the file is none of ours, or SQLite has no FTS5.
    """

    def __init__(self, folder: Path | None, max_passages: int) -> None:
        self._place = ":memory:" if folder is None else str(folder / FILE_NAME)
        self._max_passages = max_passages
        self._lock = threading.Lock()
        #: What was read last, and the state of the file then.
        self._vectors: tuple[tuple[int, int], Vectors] | None = None
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
            self._connection = _connected(self._place)
        except (OSError, sqlite3.Error) as exc:
            raise ConfigurationError(
                f"RETRIEVER_DATA_DIR: the index {self._place} cannot be used ({exc}). Name a folder that can be "
                "written, or remove the file: documents of the folder are read again, others must be ingested again."
            ) from exc

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def put(self, documents: Iterable[NewDocument]) -> None:
        """Add documents, all or none of them; those of the same names are replaced.

        Raises:
            InvalidRequestError: The store would hold more passages than it may.
        """
        with self._using() as connection:
            for document in documents:
                _put(connection, document)
            (count,) = connection.execute("SELECT count(*) FROM passages").fetchone()
            if count > self._max_passages:
                raise InvalidRequestError(
                    f"With these documents the index would have {count} passages; it keeps {self._max_passages}. "
                    "Delete documents, or raise RETRIEVER_MAX_PASSAGES.",
                )

    def delete(self, names: Iterable[str]) -> int:
        """Delete documents by their names; returns how many there were."""
        with self._using() as connection:
            cursors = [connection.execute("DELETE FROM documents WHERE name = ?", (name,)) for name in names]
            return sum(cursor.rowcount for cursor in cursors)

    def documents(self) -> list[StoredDocument]:
        """Return every document, by name."""
        counted = "(SELECT count(*) FROM passages p WHERE p.document_id = d.id)"
        with self._using() as connection:
            rows = connection.execute(f"SELECT name, digest, origin, {counted} FROM documents d ORDER BY name")  # noqa: S608 - no values in it
            return [StoredDocument(*row) for row in rows]

    def passages(self, keys: Sequence[int]) -> list[Passage]:
        """Return passages in the order of their numbers' list; those that were deleted meanwhile are left out."""
        marks = ", ".join("?" * len(keys))
        with self._using() as connection:
            rows = connection.execute(f"{_PASSAGES} WHERE p.id IN ({marks})", tuple(keys))
            found = {row[0]: Passage(*row) for row in rows}
        return [found[key] for key in keys if key in found]

    def keys_of(self, references: Iterable[str]) -> dict[str, int]:
        """Return the numbers of passages by their references, `<name>#<position>`; unknown ones are left out."""
        found: dict[str, int] = {}
        query = "SELECT p.id FROM passages p JOIN documents d ON d.id = p.document_id WHERE d.name = ? AND position = ?"
        with self._using() as connection:
            for reference in references:
                name, _, position = reference.rpartition("#")
                row = connection.execute(query, (name, position)).fetchone() if position.isdigit() else None
                if row is not None:
                    found[reference] = row[0]
        return found

    def full_text(self, words: Sequence[str], limit: int) -> list[int]:
        """Return the numbers of the passages that have one of the words, the best first (BM25).

        Args:
            words: Letters and digits only; the store finds other forms of them, too.
            limit: How many are returned at most.
        """
        if not words:
            return []
        query = " OR ".join(f'"{word}"' for word in words)
        order = "ORDER BY bm25(passage_words), rowid LIMIT ?"
        with self._using() as connection:
            rows = connection.execute(
                f"SELECT rowid FROM passage_words WHERE passage_words MATCH ? {order}",  # noqa: S608 - no values in it
                (query, limit),
            )
            return [key for (key,) in rows]

    def without_vector(self, limit: int) -> list[tuple[int, str]]:
        """Return passages that have no vector yet: number and text."""
        with self._using() as connection:
            query = "SELECT id, text FROM passages WHERE vector IS NULL ORDER BY id LIMIT ?"
            return connection.execute(query, (limit,)).fetchall()

    def add_vectors(self, model: str, vectors: Iterable[tuple[int, bytes]]) -> None:
        """Keep vectors; those of another model are dropped first, since they cannot be compared with these."""
        with self._using() as connection:
            if connection.execute("SELECT model FROM embedding").fetchall() != [(model,)]:
                _forget_vectors(connection)
                connection.execute("INSERT INTO embedding VALUES (?)", (model,))
            rows = ((vector, key) for key, vector in vectors)
            connection.executemany("UPDATE passages SET vector = ? WHERE id = ?", rows)

    def forget_vectors(self) -> None:
        """Drop every vector."""
        with self._using() as connection:
            _forget_vectors(connection)

    def vectors(self) -> Vectors:
        """Return all vectors; read again only after a change."""
        with self._using() as connection:
            state = (connection.total_changes, *connection.execute("PRAGMA data_version").fetchone())
            if self._vectors is None or self._vectors[0] != state:
                self._vectors = (state, _read_vectors(connection))
            return self._vectors[1]

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        """Give the connection to one thread, within a transaction.

        Raises:
            InternalError: SQLite failed: the disk is full, or another process holds the file.
        """
        try:
            with self._lock, self._connection:
                yield self._connection
        except sqlite3.Error as exc:
            raise InternalError(f"The retriever's index {self._place} cannot be used: {exc}.") from exc


def _connected(place: str) -> sqlite3.Connection:
    connection = sqlite3.connect(place, timeout=_BUSY_SECONDS, check_same_thread=False)
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_mode = WAL")
        _migrate(connection)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in (0, _VERSION):
        raise sqlite3.DatabaseError(f"it has version {version}, and this retriever writes version {_VERSION}")
    if version == 0:
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")


def _put(connection: sqlite3.Connection, document: NewDocument) -> None:
    connection.execute("DELETE FROM documents WHERE name = ?", (document.name,))
    cursor = connection.execute(
        "INSERT INTO documents (name, digest, origin, created_at) VALUES (?, ?, ?, ?)",
        (document.name, document.digest, document.origin, int(time.time())),
    )
    connection.executemany(
        'INSERT INTO passages (document_id, position, text, start, "end", page) VALUES (?, ?, ?, ?, ?, ?)',
        (
            (cursor.lastrowid, position, chunk.text, chunk.start, chunk.end, chunk.page)
            for position, chunk in enumerate(document.chunks, 1)
        ),
    )


def _forget_vectors(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE passages SET vector = NULL WHERE vector IS NOT NULL")
    connection.execute("DELETE FROM embedding")


def _read_vectors(connection: sqlite3.Connection) -> Vectors:
    row = connection.execute("SELECT model FROM embedding").fetchone()
    rows = connection.execute("SELECT id, vector FROM passages WHERE vector IS NOT NULL")
    return Vectors(row[0] if row else "", {key: vector_from_bytes(data) for key, data in rows})
