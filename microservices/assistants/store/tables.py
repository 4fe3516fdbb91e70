"""The tables. Their columns are named as the fields of the classes in objects/.

Every table is paged by `seq`, which only grows: `created_at` has whole seconds, and ties. At most one run of a thread
is active, by a partial unique index: forty that are made at once have one winner, whoever asks whichever process.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    TypeDecorator,
    literal_column,
)

from microservices.assistants.objects.run import ACTIVE, RunStatus
from microservices.assistants.store.columns import id_column, json_column, metadata, seq_column, time_column

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


def _of_thread() -> Column[Any]:
    return Column("thread_id", Text, ForeignKey("threads.id", ondelete="CASCADE"), nullable=False)


assistants = Table(
    "assistants",
    metadata,
    seq_column(),
    id_column(),
    Column("owner", Text, nullable=False),
    time_column("created_at", nullable=False),
    Column("model", Text, nullable=False),
    Column("name", Text),
    Column("description", Text),
    Column("instructions", Text),
    json_column("tools", nullable=False),
    json_column("tool_resources"),
    json_column("metadata", nullable=False),
    Column("temperature", Float),
    Column("top_p", Float),
    json_column("response_format"),
    Column("reasoning_effort", Text),
    Index("assistants_by_owner", "owner", "seq"),
    sqlite_autoincrement=True,
)

threads = Table(
    "threads",
    metadata,
    seq_column(),
    id_column(),
    Column("owner", Text, nullable=False),
    time_column("created_at", nullable=False),
    json_column("tool_resources"),
    json_column("metadata", nullable=False),
    sqlite_autoincrement=True,
)

messages = Table(
    "messages",
    metadata,
    seq_column(),
    id_column(),
    _of_thread(),
    time_column("created_at", nullable=False),
    Column("role", Text, nullable=False),
    json_column("content", nullable=False),
    Column("status", Text, nullable=False),
    json_column("incomplete_details"),
    time_column("completed_at"),
    time_column("incomplete_at"),
    Column("assistant_id", Text),
    Column("run_id", Text),
    json_column("attachments", nullable=False),
    json_column("metadata", nullable=False),
    Index("messages_by_thread", "thread_id", "seq"),
    Index("messages_by_run", "run_id", "seq"),
    sqlite_autoincrement=True,
)

runs = Table(
    "runs",
    metadata,
    seq_column(),
    id_column(),
    Column("owner", Text, nullable=False),
    _of_thread(),
    Column("assistant_id", Text, nullable=False),
    time_column("created_at", nullable=False),
    Column("status", _Status, nullable=False),
    Column("model", Text, nullable=False),
    Column("instructions", Text, nullable=False),
    json_column("tools", nullable=False),
    json_column("tool_resources"),
    json_column("metadata", nullable=False),
    json_column("required_action"),
    json_column("last_error"),
    time_column("expires_at"),
    time_column("started_at"),
    time_column("cancelled_at"),
    time_column("failed_at"),
    time_column("completed_at"),
    json_column("usage"),
    json_column("incomplete_details"),
    Column("max_prompt_tokens", Integer),
    Column("max_completion_tokens", Integer),
    json_column("truncation_strategy", nullable=False),
    json_column("tool_choice", nullable=False),
    Column("parallel_tool_calls", Boolean, nullable=False),
    json_column("response_format"),
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
    seq_column(),
    id_column(),
    Column("run_id", Text, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("thread_id", Text, nullable=False),
    Column("assistant_id", Text, nullable=False),
    time_column("created_at", nullable=False),
    Column("type", Text, nullable=False),
    Column("status", Text, nullable=False),
    json_column("step_details", nullable=False),
    json_column("last_error"),
    time_column("expired_at"),
    time_column("cancelled_at"),
    time_column("failed_at"),
    time_column("completed_at"),
    json_column("metadata", nullable=False),
    json_column("usage"),
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
