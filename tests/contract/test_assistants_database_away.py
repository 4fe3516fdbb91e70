"""A database that is away: said by /ready and to every request, without its password."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg import sql

from microservices.assistants.database_health import database_problem
from microservices.assistants.store.database import Database
from tests.support.assistants import assistants_at, client_of, make_assistant
from tests.support.postgres import PostgresServer


async def test_database_that_refuses_is_named_without_its_password(refused_url: str) -> None:
    """The sentence says where it should be, and nothing that opens it."""
    port = httpx.URL(refused_url).port
    database = Database(f"postgresql://user:secret@127.0.0.1:{port}/assistants")
    problem = await database_problem(database)
    await database.close()
    assert problem is not None
    assert f"127.0.0.1:{port}/assistants" in problem
    assert "secret" not in problem


async def test_database_that_goes_away_makes_requests_503_until_it_is_back(
    tmp_path: Path, refused_url: str, postgres_server: PostgresServer, postgres_url: str
) -> None:
    """SDKs try a 503 again by themselves; /ready says what is missing; afterwards everything is as before."""
    name = httpx.URL(postgres_url).path.removeprefix("/")
    async with (
        await psycopg.AsyncConnection.connect(postgres_server.url("postgres"), autocommit=True) as server,
        assistants_at(tmp_path, refused_url, database_url=postgres_url) as url,
        client_of(url) as client,
    ):
        assistant_id = await make_assistant(client, model="any")
        await _set_connectable(server, name, is_so=False)
        away = await client.get(f"/v1/assistants/{assistant_id}")
        not_ready = await client.get("/ready")
        await _set_connectable(server, name, is_so=True)
        back = await client.get(f"/v1/assistants/{assistant_id}")
    assert (away.status_code, away.json()["error"]["code"], away.headers["retry-after"]) == (503, "overloaded", "1")
    assert (not_ready.status_code, "cannot be used" in not_ready.json()["problems"][0]) == (503, True)
    assert (back.status_code, back.json()["id"]) == (200, assistant_id)


async def _set_connectable(server: psycopg.AsyncConnection[Any], name: str, *, is_so: bool) -> None:
    """Let a database take connections or none; those that it has are ended."""
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(sql.Identifier(name), sql.Literal(is_so))
    await server.execute(allow)
    if not is_so:
        await server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
