"""Connections to SQLite."""

from __future__ import annotations

import asyncio
import sqlite3
import threading

import pytest

from microservices.assistants.store.sqlite_connection import connect


def test_connect_that_fails_leaves_no_thread_to_a_loop_that_ends() -> None:
    """A thread that tells a closed loop of its end prints a traceback under the sentence that says what is wrong."""
    told: list[str] = []
    before, threading.excepthook = threading.excepthook, lambda thrown: told.append(str(thrown.exc_value))
    try:
        for _ in range(50):
            with pytest.raises(sqlite3.OperationalError, match="unable to open database file"):
                asyncio.run(connect("/proc/nowhere/x.sqlite", 1_000))
    finally:
        threading.excepthook = before
    assert told == []
