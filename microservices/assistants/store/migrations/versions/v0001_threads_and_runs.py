"""Assistants, threads, messages, runs, run steps, run events."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from microservices.assistants.store.columns import id_column, json_column, seq_column, time_column

revision = "0001"
down_revision = None

_IS_ACTIVE = sa.text("status IN ('cancelling', 'in_progress', 'queued', 'requires_action')")


def upgrade() -> None:
    """Make the first tables."""
    _make_assistants()
    _make_threads()
    _make_messages()
    _make_runs()
    _make_run_steps()
    _make_run_events()


def _text(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _child_of(table: str, name: str, *, primary_key: bool = False) -> sa.Column[Any]:
    parent = sa.ForeignKey(f"{table}.id", ondelete="CASCADE")
    return sa.Column(name, sa.Text, parent, nullable=False, primary_key=primary_key)


def _make_assistants() -> None:
    op.create_table(
        "assistants",
        seq_column(),
        id_column(),
        _text("owner"),
        time_column("created_at", nullable=False),
        _text("model"),
        _text("name", nullable=True),
        _text("description", nullable=True),
        _text("instructions", nullable=True),
        json_column("tools", nullable=False),
        json_column("tool_resources"),
        json_column("metadata", nullable=False),
        sa.Column("temperature", sa.Float),
        sa.Column("top_p", sa.Float),
        json_column("response_format"),
        _text("reasoning_effort", nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_index("assistants_by_owner", "assistants", ["owner", "seq"])


def _make_threads() -> None:
    op.create_table(
        "threads",
        seq_column(),
        id_column(),
        _text("owner"),
        time_column("created_at", nullable=False),
        json_column("tool_resources"),
        json_column("metadata", nullable=False),
        sqlite_autoincrement=True,
    )


def _make_messages() -> None:
    op.create_table(
        "messages",
        seq_column(),
        id_column(),
        _child_of("threads", "thread_id"),
        time_column("created_at", nullable=False),
        _text("role"),
        json_column("content", nullable=False),
        _text("status"),
        json_column("incomplete_details"),
        time_column("completed_at"),
        time_column("incomplete_at"),
        _text("assistant_id", nullable=True),
        _text("run_id", nullable=True),
        json_column("attachments", nullable=False),
        json_column("metadata", nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("messages_by_thread", "messages", ["thread_id", "seq"])
    op.create_index("messages_by_run", "messages", ["run_id", "seq"])


def _make_runs() -> None:
    op.create_table(
        "runs",
        seq_column(),
        id_column(),
        _text("owner"),
        _child_of("threads", "thread_id"),
        _text("assistant_id"),
        time_column("created_at", nullable=False),
        _text("status"),
        _text("model"),
        _text("instructions"),
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
        sa.Column("max_prompt_tokens", sa.Integer),
        sa.Column("max_completion_tokens", sa.Integer),
        json_column("truncation_strategy", nullable=False),
        json_column("tool_choice", nullable=False),
        sa.Column("parallel_tool_calls", sa.Boolean, nullable=False),
        json_column("response_format"),
        sa.Column("temperature", sa.Float),
        sa.Column("top_p", sa.Float),
        _text("reasoning_effort", nullable=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("runs_by_thread", "runs", ["thread_id", "seq"])
    partial: dict[str, Any] = {"sqlite_where": _IS_ACTIVE, "postgresql_where": _IS_ACTIVE}
    op.create_index("one_active_run_per_thread", "runs", ["thread_id"], unique=True, **partial)
    op.create_index("active_runs", "runs", ["status", "expires_at"], **partial)


def _make_run_steps() -> None:
    op.create_table(
        "run_steps",
        seq_column(),
        id_column(),
        _child_of("runs", "run_id"),
        _text("thread_id"),
        _text("assistant_id"),
        time_column("created_at", nullable=False),
        _text("type"),
        _text("status"),
        json_column("step_details", nullable=False),
        json_column("last_error"),
        time_column("expired_at"),
        time_column("cancelled_at"),
        time_column("failed_at"),
        time_column("completed_at"),
        json_column("metadata", nullable=False),
        json_column("usage"),
        sqlite_autoincrement=True,
    )
    op.create_index("run_steps_by_run", "run_steps", ["run_id", "seq"])


def _make_run_events() -> None:
    op.create_table(
        "run_events",
        _child_of("runs", "run_id", primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        _text("event"),
        _text("data"),
    )
