"""Files, vector stores, their files and chunks, and what finds these."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from microservices.assistants.store.columns import id_column, json_column, seq_column, time_column
from microservices.assistants.store.search_tables import POSTGRESQL_SEARCH, SQLITE_SEARCH

revision = "0002"
down_revision = "0001"

_IS_OPEN = sa.text("status = 'in_progress'")


def upgrade() -> None:
    """Make the tables."""
    _make_files()
    _make_vector_stores()
    _make_vector_store_files()
    _make_chunks()
    for statement in SQLITE_SEARCH if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_SEARCH:
        op.execute(sa.text(statement))


def _child_of(table: str, name: str, *, primary_key: bool = False) -> sa.Column[Any]:
    parent = sa.ForeignKey(f"{table}.id", ondelete="CASCADE")
    return sa.Column(name, sa.Text, parent, nullable=False, primary_key=primary_key)


def _make_files() -> None:
    op.create_table(
        "files",
        seq_column(),
        id_column(),
        sa.Column("owner", sa.Text, nullable=False),
        time_column("created_at", nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.Integer, nullable=False),
        time_column("expires_at"),
        sqlite_autoincrement=True,
    )
    op.create_index("files_by_owner", "files", ["owner", "seq"])
    op.create_table(
        "file_parts",
        _child_of("files", "file_id", primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )


def _make_vector_stores() -> None:
    op.create_table(
        "vector_stores",
        seq_column(),
        id_column(),
        sa.Column("owner", sa.Text, nullable=False),
        time_column("created_at", nullable=False),
        time_column("last_active_at", nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        json_column("expires_after"),
        json_column("metadata", nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("vector_stores_by_owner", "vector_stores", ["owner", "seq"])
    op.create_table(
        "file_batches",
        seq_column(),
        id_column(),
        _child_of("vector_stores", "vector_store_id"),
        time_column("created_at", nullable=False),
        sa.Column("is_cancelled", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("file_batches_by_vector_store", "file_batches", ["vector_store_id"])


def _make_vector_store_files() -> None:
    op.create_table(
        "vector_store_files",
        seq_column(),
        _child_of("files", "id"),
        _child_of("vector_stores", "vector_store_id"),
        sa.Column("batch_id", sa.Text),
        time_column("created_at", nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        json_column("last_error"),
        sa.Column("usage_bytes", sa.Integer, nullable=False),
        json_column("attributes", nullable=False),
        json_column("chunking_strategy", nullable=False),
        time_column("claimed_until", nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.UniqueConstraint("vector_store_id", "id", name="one_row_per_file_of_a_vector_store"),
        sqlite_autoincrement=True,
    )
    op.create_index("vector_store_files_by_vector_store", "vector_store_files", ["vector_store_id", "seq"])
    op.create_index("vector_store_files_by_file", "vector_store_files", ["id"])
    op.create_index("vector_store_files_by_batch", "vector_store_files", ["batch_id"])
    op.create_index("files_to_index", "vector_store_files", ["seq"], sqlite_where=_IS_OPEN, postgresql_where=_IS_OPEN)


def _make_chunks() -> None:
    op.create_table(
        "chunks",
        seq_column(),
        sa.Column("vector_store_id", sa.Text, nullable=False),
        sa.Column("file_id", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("start_offset", sa.Integer, nullable=False),
        sa.Column("end_offset", sa.Integer, nullable=False),
        sa.Column("page", sa.Integer),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("embedding", sa.LargeBinary),
        sa.Column("embedding_model", sa.Text),
        sa.ForeignKeyConstraint(
            ["vector_store_id", "file_id"],
            ["vector_store_files.vector_store_id", "vector_store_files.id"],
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("vector_store_id", "file_id", "number", name="one_chunk_per_number"),
        sqlite_autoincrement=True,
    )
