"""The tables. Their columns are named as the fields of the classes in objects/.

Every table is paged by `seq`, which only grows: `created_at` has whole seconds, and ties. At most one run of a thread
is active, by a partial unique index: forty that are made at once have one winner, whoever asks whichever process.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    literal_column,
)
from sqlalchemy.dialects.postgresql import JSONB

from microservices.assistants.objects.run import ACTIVE, RunStatus

metadata = MetaData()

_Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
#: SQLite numbers the rows of an INTEGER primary key alone by itself.
_Sequence = BigInteger().with_variant(Integer, "sqlite")
#: The condition of the partial indices: only queries that say it in these words use them.
IS_ACTIVE: ColumnElement[bool] = literal_column(
    "status IN ({})".format(", ".join(f"'{status}'" for status in sorted(ACTIVE))), Boolean
)


class _Status(TypeDecorator[RunStatus]):
    """A run's status, stored as its word."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: RunStatus | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> RunStatus | None:
        return None if value is None else RunStatus(value)


def _seq() -> Column[Any]:
    return Column("seq", _Sequence, primary_key=True, autoincrement=True)


def _id() -> Column[Any]:
    return Column("id", Text, nullable=False, unique=True)


def _json(name: str, *, nullable: bool = True) -> Column[Any]:
    return Column(name, _Json, nullable=nullable)


def _time(name: str, *, nullable: bool = True) -> Column[Any]:
    return Column(name, BigInteger, nullable=nullable)


def _of_thread() -> Column[Any]:
    return Column("thread_id", Text, ForeignKey("threads.id", ondelete="CASCADE"), nullable=False)


assistants = Table(
    "assistants",
    metadata,
    _seq(),
    _id(),
    Column("owner", Text, nullable=False),
    _time("created_at", nullable=False),
    Column("model", Text, nullable=False),
    Column("name", Text),
    Column("description", Text),
    Column("instructions", Text),
    _json("tools", nullable=False),
    _json("tool_resources"),
    _json("metadata", nullable=False),
    Column("temperature", Float),
    Column("top_p", Float),
    _json("response_format"),
    Column("reasoning_effort", Text),
    Index("assistants_by_owner", "owner", "seq"),
    sqlite_autoincrement=True,
)

threads = Table(
    "threads",
    metadata,
    _seq(),
    _id(),
    Column("owner", Text, nullable=False),
    _time("created_at", nullable=False),
    _json("tool_resources"),
    _json("metadata", nullable=False),
    sqlite_autoincrement=True,
)

messages = Table(
    "messages",
    metadata,
    _seq(),
    _id(),
    _of_thread(),
    _time("created_at", nullable=False),
    Column("role", Text, nullable=False),
    _json("content", nullable=False),
    Column("status", Text, nullable=False),
    _json("incomplete_details"),
    _time("completed_at"),
    _time("incomplete_at"),
    Column("assistant_id", Text),
    Column("run_id", Text),
    _json("attachments", nullable=False),
    _json("metadata", nullable=False),
    Index("messages_by_thread", "thread_id", "seq"),
    Index("messages_by_run", "run_id", "seq"),
    sqlite_autoincrement=True,
)

runs = Table(
    "runs",
    metadata,
    _seq(),
    _id(),
    Column("owner", Text, nullable=False),
    _of_thread(),
    Column("assistant_id", Text, nullable=False),
    _time("created_at", nullable=False),
    Column("status", _Status, nullable=False),
    Column("model", Text, nullable=False),
    Column("instructions", Text, nullable=False),
    _json("tools", nullable=False),
    _json("tool_resources"),
    _json("metadata", nullable=False),
    _json("required_action"),
    _json("last_error"),
    _time("expires_at"),
    _time("started_at"),
    _time("cancelled_at"),
    _time("failed_at"),
    _time("completed_at"),
    _json("usage"),
    _json("incomplete_details"),
    Column("max_prompt_tokens", Integer),
    Column("max_completion_tokens", Integer),
    _json("truncation_strategy", nullable=False),
    _json("tool_choice", nullable=False),
    Column("parallel_tool_calls", Boolean, nullable=False),
    _json("response_format"),
    Column("temperature", Float),
    Column("top_p", Float),
    Column("reasoning_effort", Text),
    Column("attempts", Integer, nullable=False),
    Index("runs_by_thread", "thread_id", "seq"),
    Index("one_active_run_per_thread", "thread_id", unique=True, sqlite_where=IS_ACTIVE, postgresql_where=IS_ACTIVE),
    Index("active_runs", "status", "expires_at", sqlite_where=IS_ACTIVE, postgresql_where=IS_ACTIVE),
    sqlite_autoincrement=True,
)

run_steps = Table(
    "run_steps",
    metadata,
    _seq(),
    _id(),
    Column("run_id", Text, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("thread_id", Text, nullable=False),
    Column("assistant_id", Text, nullable=False),
    _time("created_at", nullable=False),
    Column("type", Text, nullable=False),
    Column("status", Text, nullable=False),
    _json("step_details", nullable=False),
    _json("last_error"),
    _time("expired_at"),
    _time("cancelled_at"),
    _time("failed_at"),
    _time("completed_at"),
    _json("metadata", nullable=False),
    _json("usage"),
    Index("run_steps_by_run", "run_id", "seq"),
    sqlite_autoincrement=True,
)

#: What a run's stream showed: `number` counts from 1 within the run and is the `id:` of the SSE event.
run_events = Table(
    "run_events",
    metadata,
    Column("run_id", Text, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("event", Text, nullable=False),
    Column("data", Text, nullable=False),
)
