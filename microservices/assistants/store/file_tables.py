"""The tables of uploaded files. The content is kept in parts, so that it is read and sent without being held whole."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from microservices.assistants.store.columns import id_column, metadata, seq_column, time_column

files = Table(
    "files",
    metadata,
    seq_column(),
    id_column(),
    Column("owner", Text, nullable=False),
    time_column("created_at", nullable=False),
    Column("filename", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    time_column("expires_at"),
    Index("files_by_owner", "owner", "seq"),
    sqlite_autoincrement=True,
)

#: `number` counts from 0 within the file.
file_parts = Table(
    "file_parts",
    metadata,
    Column("file_id", Text, ForeignKey("files.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)
