"""The assistants service as a process of its own, which tests kill."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.support.assistants import client_of
from tests.support.network import find_free_port
from tests.support.processes import ServiceProcess, start_process

#: Of a process that was killed.
KILLED = -9
_START_SECONDS = 40.0


class AssistantsProcess:
    """A process of the service that answers requests.

    Attributes:
        process: Its process.
        client: Talks to it.
    """

    def __init__(self, process: ServiceProcess, client: httpx.AsyncClient, crash_file: Path) -> None:
        self.process = process
        self.client = client
        self._crash_file = crash_file

    def crash_at(self, point: str) -> None:
        """Let it kill itself when a run is at a point."""
        self._crash_file.write_text(point)

    async def killed(self) -> None:
        """Wait until it has."""
        assert await asyncio.to_thread(self.process.wait) == KILLED, self.process.log[-3_000:]


@asynccontextmanager
async def assistants_process(
    folder: Path, gateway_url: str, *, database_url: str = "", **settings: str
) -> AsyncIterator[AssistantsProcess]:
    """Run the service from readiness until SIGTERM, if it lives so long.

    Args:
        folder: Of its data and its log.
        gateway_url: Where models are asked.
        database_url: Instead of a SQLite file in the folder.
        settings: More environment variables.
    """
    port = find_free_port()
    crash_file = folder / f"crash-{port}"
    environment = {
        "ASSISTANTS_PORT": str(port),
        "ASSISTANTS_GATEWAY_URL": gateway_url,
        "ASSISTANTS_DATA_DIR": str(folder),
        "DATABASE_URL": database_url,
        "ASSISTANTS_CRASH_FILE": str(crash_file),
        **settings,
    }
    log = folder / f"assistants-{port}.log"
    process = start_process("-m", "microservices.assistants", log_path=log, port=port, environment=environment)
    try:
        await asyncio.to_thread(process.wait_until_ready, timeout_seconds=_START_SECONDS)
        async with client_of(process.url) as client:
            yield AssistantsProcess(process, client, crash_file)
    finally:
        await asyncio.to_thread(process.stop)
