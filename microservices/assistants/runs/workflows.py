"""dbos as this project uses it: it remembers which process works at which turn, and hands turns of the dead on.

A turn is a workflow without steps: our own tables say what of it is done, so that it can be begun again anywhere
(decision 17). dbos is one per process and keeps its notes in a file beside our SQLite, or in a schema of its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import sqlite3
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL

from microservices.assistants.runs.presence import Presence, presence_in
from microservices.assistants.store.sqlite_connection import LOG_PAGES

#: Fixed: dbos's default is a hash of the source, and after a change of that nobody would resume what is pending.
_VERSION: Final = "assistants-1"
_SCHEMA: Final = "assistants_dbos"
_WORKFLOW: Final = "turn"
_FIRST_POLL_SECONDS = 0.25
_BUSY_MILLISECONDS = 30_000
#: From here on SQLite knows `unixepoch('subsec')`.
_SQLITE_WITH_SUBSECONDS = (3, 42, 0)
_PENDING = "PENDING"
_ENDED = ["SUCCESS", "ERROR", "CANCELLED"]
_PRUNED_AT_ONCE = 500

#: Works at the run with an id until its turn is over.
Turn = Callable[[str], Coroutine[Any, Any, None]]
_log = logging.getLogger(__name__)


class Workflows:
    """Starts turns, and finds those whose process died.

    Args:
        url: Of our database.
        work: Is called with a run's id, in the event loop that entered this.
    """

    def __init__(self, url: URL, work: Turn) -> None:
        self._url = url
        self._work = work
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(6)}"
        self._presence: Presence = presence_in(url, self._name)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._engine: Engine | None = None

    async def __aenter__(self) -> Workflows:
        self._loop = asyncio.get_running_loop()
        await self._presence.begin()
        await asyncio.to_thread(self._launch)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        loop = asyncio.get_running_loop()
        executor = ThreadPoolExecutor(1)
        await loop.run_in_executor(executor, self._destroy)
        executor.shutdown(wait=False)  # its thread has nothing more to do, and joining it would block the loop
        loop.set_default_executor(ThreadPoolExecutor())  # dbos had put its own there, and ended it
        await self._presence.end()

    async def start(self, run_id: str, turn_id: str) -> None:
        """Begin a turn here, unless it was begun somewhere before.

        Args:
            run_id: Whose turn.
            turn_id: Tells this turn from the run's others.
        """
        with SetWorkflowID(turn_id):
            await DBOS.start_workflow_async(self._turn, run_id)

    async def take_over(self) -> int:
        """Hand the turns of processes that have died on to those that live, if this process is the leader.

        Returns:
            How many there were.
        """
        if not await self._presence.is_leader():
            return 0
        pending = await DBOS.list_workflows_async(
            status=_PENDING, app_version=_VERSION, load_input=False, load_output=False
        )
        owners = {workflow.executor_id for workflow in pending if workflow.executor_id}
        dead = owners - await self._presence.alive(owners)
        stranded = [workflow for workflow in pending if workflow.executor_id in dead]
        for workflow in stranded:
            _log.warning("resuming %s, which %s was at work at", workflow.workflow_id, workflow.executor_id)
            await DBOS.resume_workflow_async(workflow.workflow_id)
        return len(stranded)

    async def reappear(self) -> None:
        """Hold this process's lock again after its connection was lost."""
        await self._presence.begin()

    async def prune(self, older_than_seconds: float) -> None:
        """Forget turns that have ended."""
        before = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - older_than_seconds))
        while True:
            ended = await DBOS.list_workflows_async(
                status=_ENDED, end_time=before, limit=_PRUNED_AT_ONCE, load_input=False, load_output=False
            )
            if ended:
                await DBOS.delete_workflows_async([workflow.workflow_id for workflow in ended])
            if len(ended) < _PRUNED_AT_ONCE:
                return

    def _launch(self) -> None:
        config: DBOSConfig = {
            "name": "assistants",
            "application_version": _VERSION,
            "executor_id": self._name,
            "dbos_system_schema": _SCHEMA,
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "ERROR",
            "enable_otlp": False,
            "use_listen_notify": False,  # nothing here waits within dbos
            "notification_listener_polling_interval_sec": _FIRST_POLL_SECONDS,
        }
        if self._url.get_backend_name() == "sqlite":
            path = workflow_file(self._url)
            config["system_database_url"] = f"sqlite:///{path}"
            config["system_database_engine"] = self._engine = _sqlite_engine(path)
        else:
            config["system_database_url"] = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        DBOS(config=config)
        self._turn = DBOS.workflow(name=_WORKFLOW)(self._run_turn())
        DBOS.launch()

    def _destroy(self) -> None:
        DBOS.destroy(destroy_registry=True)
        if self._engine is not None:  # dbos closes only what it opened
            self._engine.dispose()

    def _run_turn(self) -> Turn:
        async def turn(run_id: str) -> None:
            """Work at a run in the server's loop; what dbos resumes begins in a loop of its own."""
            assert self._loop is not None  # entered  # noqa: S101
            if asyncio.get_running_loop() is self._loop:
                await self._work(run_id)
            else:
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._work(run_id), self._loop))

        return turn


def workflow_file(url: URL) -> Path:
    """Return where dbos keeps its notes beside a SQLite of ours."""
    return Path(f"{url.database}.workflows")


def _sqlite_engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = "IMMEDIATE"
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            f"busy_timeout={_BUSY_MILLISECONDS}",
            f"wal_autocheckpoint={LOG_PAGES}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
        if sqlite3.sqlite_version_info < _SQLITE_WITH_SUBSECONDS:
            connection.create_function("unixepoch", -1, _unix_seconds)

    return engine


def _unix_seconds(*_modifiers: str) -> float:
    """Stand in for SQLite's `unixepoch('subsec')`, which is null before 3.42: Debian 12 has 3.40.

    On Python 3.12 and later dbos takes every time from it.
    """
    return time.time()
