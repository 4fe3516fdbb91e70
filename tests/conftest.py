"""Fixtures that every tier of tests may use; their working parts are in tests/support/."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import settings

from servicekit.environment import ENV_FILE_VARIABLE
from tests.support.assistants_store import MadeSchemas
from tests.support.network import find_free_port, refusing_url
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.scripted_upstream import Script, ScriptedUpstream

if TYPE_CHECKING:
    from microservices.assistants.store.database import Database

UpstreamFactory = Callable[..., Awaitable[ScriptedUpstream]]

#: Variables of the developer's shell that would change what tests see.
_SETTING_PREFIXES = (
    "ASSISTANTS_",
    "LLM_",
    "GRADER_",
    "RETRIEVER_",
    "MEGA_SERVICE_",
    "EMBEDDING_",
    "GATEWAY_",
    "PIPELINES_",
    "OTEL_",
    "TELEMETRY_",
)
_SETTING_NAMES = (
    "API_KEYS",
    "DATABASE_URL",
    "CORS_ORIGINS",
    "LOG_LEVEL",
    "LOGFLAG",
    "MODELS_FILE",
    "MAX_BODY_BYTES",
    "DRAIN_SECONDS",
    "LOG_MESSAGES",
    "PING_PROVIDERS",
    "HF_TOKEN",
    "HF_ENDPOINT",
    "XDG_CACHE_HOME",
)
_PROXY_NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")

# A busy machine is no failed property: the time limit of a test is pytest's.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings of the developer's shell from every test."""
    for name in list(os.environ):
        if name.startswith(_SETTING_PREFIXES) or name in _SETTING_NAMES or name.lower() in _PROXY_NAMES:
            monkeypatch.delenv(name)
    monkeypatch.setenv(ENV_FILE_VARIABLE, os.devnull)
    monkeypatch.setenv("RUNS_DIR", "")  # tests of the records name a folder of their own


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    """Make a call of ours that blocks the event loop fail the test."""
    with blockbuster_ctx(scanned_modules=["servicekit", "microservices", "megaservice"]) as blockbuster:
        for function in blockbuster.functions.values():
            # Settings are read at the start, before a loop serves anything; tests make them where they need them.
            function.can_block_in("servicekit/settings.py", "settings_customise_sources")
        for function in blockbuster.functions.values():
            # These read their files before there is anybody to serve.
            function.can_block_in("app.py", "create_app")
            function.can_block_in("store/database.py", "_sqlite_engine")
            function.can_block_in("store/migrate.py", "_upgrade")
        yield blockbuster


@pytest.fixture
def free_port() -> int:
    """Give a loopback port that nothing listens on."""
    return find_free_port()


@pytest.fixture
def refused_url() -> Iterator[str]:
    """Give a URL whose port refuses connections for as long as the test runs."""
    with refusing_url() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Give a PostgreSQL, started for the first test that asks; it is never skipped."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Give the URL of an empty database of PostgreSQL."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'assistants.sqlite'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture(scope="session")
def made_schemas() -> MadeSchemas:
    """Give databases of the assistants to copy: each kind is made once."""
    return MadeSchemas()


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def database(
    request: pytest.FixtureRequest, made_schemas: MadeSchemas, tmp_path: Path
) -> AsyncIterator[Database]:
    """Give an empty database of the assistants, ready for use, once of each kind."""
    if request.param == "sqlite":
        copy = made_schemas.sqlite_copy(tmp_path)
    else:
        copy = made_schemas.postgres_copy(request.getfixturevalue("postgres_server"))
    async with copy as opened:
        yield opened


@pytest_asyncio.fixture
async def scripted_upstream() -> AsyncIterator[UpstreamFactory]:
    """Give a function that starts an upstream playing the scripts it is given."""
    async with AsyncExitStack() as stack:

        async def start(*scripts: Script) -> ScriptedUpstream:
            return await stack.enter_async_context(ScriptedUpstream(*scripts))

        yield start
