"""The tables of vector stores: their files, and the chunks of these with all that finds them.

Both databases search the same words: `chunks.words` holds a chunk's words as `search/words.py` makes them, without
accents and capitals. SQLite indexes them in an FTS5 table that triggers keep in step with `chunks`, whoever writes or
deletes there, cascades included; PostgreSQL in a generated `tsvector` column under the configuration `simple`, which
changes no word: texts come in any language, and a stemmer for one of them would harm the others.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    event,
    literal_column,
    text,
)

from microservices.assistants.store.columns import (
    id_column,
    json_column,
    metadata,
    seq_column,
    time_column,
)

#: The condition of a partial index: only queries that say it in these words use it.
IS_OPEN: ColumnElement[bool] = literal_column("status = 'in_progress'", Boolean)

vector_stores = Table(
    "vector_stores",
    metadata,
    seq_column(),
    id_column(),
    Column("owner", Text, nullable=False),
    time_column("created_at", nullable=False),
    time_column("last_active_at", nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text),
    json_column("expires_after"),
    json_column("metadata", nullable=False),
    Index("vector_stores_by_owner", "owner", "seq"),
    sqlite_autoincrement=True,
)

file_batches = Table(
    "file_batches",
    metadata,
    seq_column(),
    id_column(),
    Column("vector_store_id", Text, ForeignKey("vector_stores.id", ondelete="CASCADE"), nullable=False),
    time_column("created_at", nullable=False),
    Column("is_cancelled", Boolean, nullable=False),
    Index("file_batches_by_vector_store", "vector_store_id"),
    sqlite_autoincrement=True,
)

#: `id` is the file's: a file is in a vector store once.
vector_store_files = Table(
    "vector_store_files",
    metadata,
    seq_column(),
    Column("id", Text, ForeignKey("files.id", ondelete="CASCADE"), nullable=False),
    Column("vector_store_id", Text, ForeignKey("vector_stores.id", ondelete="CASCADE"), nullable=False),
    Column("batch_id", Text),
    time_column("created_at", nullable=False),
    Column("status", Text, nullable=False),
    json_column("last_error"),
    Column("usage_bytes", Integer, nullable=False),
    json_column("attributes", nullable=False),
    json_column("chunking_strategy", nullable=False),
    time_column("claimed_until", nullable=False),
    Column("attempts", Integer, nullable=False),
    UniqueConstraint("vector_store_id", "id", name="one_row_per_file_of_a_vector_store"),
    Index("vector_store_files_by_vector_store", "vector_store_id", "seq"),
    Index("vector_store_files_by_file", "id"),
    Index("vector_store_files_by_batch", "batch_id"),
    Index("files_to_index", "seq", sqlite_where=IS_OPEN, postgresql_where=IS_OPEN),
    sqlite_autoincrement=True,
)

#: `start_offset` and `end_offset` count the characters of the file's text; the page, from 1, is where it begins.
#: `embedding` is a unit vector of 32-bit floats, `embedding_model` who made it; empty: the model would not.
chunks = Table(
    "chunks",
    metadata,
    seq_column(),
    Column("vector_store_id", Text, nullable=False),
    Column("file_id", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("start_offset", Integer, nullable=False),
    Column("end_offset", Integer, nullable=False),
    Column("page", Integer),
    Column("text", Text, nullable=False),
    Column("words", Text, nullable=False),
    Column("embedding", LargeBinary),
    Column("embedding_model", Text),
    ForeignKeyConstraint(
        ["vector_store_id", "file_id"], ["vector_store_files.vector_store_id", "vector_store_files.id"],
        ondelete="CASCADE",
    ),
    UniqueConstraint("vector_store_id", "file_id", "number", name="one_chunk_per_number"),
    sqlite_autoincrement=True,
)  # fmt: skip

#: What SQLAlchemy has no words for, in order; the migrations run the same statements.
SQLITE_SEARCH = (
    # The vector store is a column of it: a search looks at the words of its own stores only. The words are folded
    # already, so the tokenizer only parts them. https://www.sqlite.org/fts5.html#external_content_tables
    """CREATE VIRTUAL TABLE chunk_words USING fts5(
        vector_store_id, words, content='chunks', content_rowid='seq', tokenize='unicode61 remove_diacritics 0')""",
    """CREATE TRIGGER chunk_words_after_insert AFTER INSERT ON chunks BEGIN
        INSERT INTO chunk_words(rowid, vector_store_id, words) VALUES (new.seq, new.vector_store_id, new.words);
    END""",
    """CREATE TRIGGER chunk_words_after_delete AFTER DELETE ON chunks BEGIN
        INSERT INTO chunk_words(chunk_words, rowid, vector_store_id, words)
        VALUES ('delete', old.seq, old.vector_store_id, old.words);
    END""",
    """CREATE TRIGGER chunk_words_after_update AFTER UPDATE OF vector_store_id, words ON chunks BEGIN
        INSERT INTO chunk_words(chunk_words, rowid, vector_store_id, words)
        VALUES ('delete', old.seq, old.vector_store_id, old.words);
        INSERT INTO chunk_words(rowid, vector_store_id, words) VALUES (new.seq, new.vector_store_id, new.words);
    END""",
)
POSTGRESQL_SEARCH = (
    """ALTER TABLE chunks ADD COLUMN word_vector tsvector
        GENERATED ALWAYS AS (to_tsvector('pg_catalog.simple', words)) STORED""",
    "CREATE INDEX chunks_by_word ON chunks USING gin (word_vector)",
)


@event.listens_for(chunks, "after_create")
def _create_search(_target: Table, connection: Connection, **_: object) -> None:
    """Make what finds the chunks, together with their table."""
    for statement in SQLITE_SEARCH if connection.dialect.name == "sqlite" else POSTGRESQL_SEARCH:
        connection.execute(text(statement))
