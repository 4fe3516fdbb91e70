"""What an export consists of: one kind of line for each table that holds what people made.

Left out is what can be made again: the chunks of vector stores (their files are indexed anew), and the events of runs,
which are there for streams that broke.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Table

from microservices.assistants.objects.assistant import Assistant
from microservices.assistants.objects.file import File
from microservices.assistants.objects.message import Message
from microservices.assistants.objects.run import Run
from microservices.assistants.objects.run_step import RunStep
from microservices.assistants.objects.thread import Thread
from microservices.assistants.objects.vector_store import VectorStore
from microservices.assistants.objects.vector_store_file import FileBatch, VectorStoreFile
from microservices.assistants.store import file_tables, search_tables, tables

#: The first line of an export, its format, and the last line, which tells that none is missing.
HEADER = "assistants.export"
VERSION = 1
END = "assistants.export.end"


@dataclass(frozen=True, slots=True)
class FilePart:
    """A piece of a file's content; `number` counts from 0 within the file."""

    file_id: str
    number: int
    data: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One kind of line.

    Attributes:
        name: The `object` of its lines: the API's, where the API has one.
        table: Where its rows are.
        item: What a line becomes.
        plural: For reports.
        key: The columns that tell one row from all others.
        parents: The tables whose `id` columns hold, which must be there first.
        derived: Columns that are not exported: they are made anew.
        per_batch: How many are read or written at once, which bounds the memory.
    """

    name: str
    table: Table
    item: type
    plural: str
    key: tuple[str, ...] = ("id",)
    parents: Mapping[str, Table] = field(default_factory=dict)
    derived: frozenset[str] = frozenset()
    per_batch: int = 200

    @property
    def columns(self) -> list[str]:
        """The columns that are exported."""
        # Plain strings: SQLAlchemy's names are a kind of their own, which JSON's writer refuses.
        return [str(column.name) for column in self.table.c if column.name != "seq" and column.name not in self.derived]


_INDEXED_ANEW = frozenset({"status", "last_error", "usage_bytes", "claimed_until", "attempts"})
_OF_THREAD = {"thread_id": tables.threads}

FILE_PART = Kind(
    "file.part",
    file_tables.file_parts,
    FilePart,
    "pieces of files",
    key=("file_id", "number"),
    parents={"file_id": file_tables.files},
    per_batch=4,
)
FILE = Kind("file", file_tables.files, File, "files")
THREAD = Kind("thread", tables.threads, Thread, "threads")
MESSAGE = Kind("thread.message", tables.messages, Message, "messages", parents=_OF_THREAD, per_batch=100)
RUN = Kind("thread.run", tables.runs, Run, "runs", parents=_OF_THREAD)
VECTOR_STORE_FILE = Kind(
    "vector_store.file",
    search_tables.vector_store_files,
    VectorStoreFile,
    "files of vector stores",
    key=("vector_store_id", "id"),
    parents={"id": file_tables.files, "vector_store_id": search_tables.vector_stores},
    derived=_INDEXED_ANEW,
)

#: In the order of their lines: parents first.
KINDS = (
    FILE,
    FILE_PART,
    Kind("vector_store", search_tables.vector_stores, VectorStore, "vector stores"),
    Kind(
        "vector_store.files_batch",
        search_tables.file_batches,
        FileBatch,
        "file batches",
        parents={"vector_store_id": search_tables.vector_stores},
    ),
    VECTOR_STORE_FILE,
    Kind("assistant", tables.assistants, Assistant, "assistants"),
    THREAD,
    MESSAGE,
    RUN,
    Kind("thread.run.step", tables.run_steps, RunStep, "run steps", parents={"run_id": tables.runs}),
)
BY_NAME = {kind.name: kind for kind in KINDS}
