"""`python -m microservices.assistants` as a process: served, exported, imported, and told what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from servicekit.environment import PROJECT_ROOT
from tests.support.network import find_free_port
from tests.support.processes import clean_environment, running_service

_SAVED = (
    {"object": "thread", "id": "thread_1", "created_at": 1},
    {
        "object": "thread.message",
        "id": "msg_1",
        "thread_id": "thread_1",
        "role": "user",
        "created_at": 1,
        "content": "?",
    },
)


def _call(
    *arguments: str, folder: Path, variables: dict[str, str] | None = None, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder of somebody else's."""
    own = {"ASSISTANTS_DATA_DIR": str(folder / "data"), "ASSISTANTS_PORT": str(find_free_port())}
    variables = {**own, "PYTHONPATH": str(PROJECT_ROOT), **(variables or {})}
    return subprocess.run(
        [sys.executable, "-m", "microservices.assistants", *arguments],
        cwd=folder,
        env=clean_environment(variables),
        input=given,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )


def _lines(*objects: dict[str, object]) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in objects)


def test_export_and_import_move_from_one_database_to_another(tmp_path: Path, postgres_url: str) -> None:
    """What was imported into SQLite is exported, imported into PostgreSQL, and served from there."""
    saved = tmp_path / "saved.jsonl"
    saved.write_text(_lines(*_SAVED))
    first = _call("import", "saved.jsonl", folder=tmp_path)
    assert (first.returncode, first.stderr) == (0, "Imported: threads 1, messages 1.\n")
    exported = _call("export", "-", folder=tmp_path)
    assert (exported.returncode, exported.stderr) == (0, "Exported: threads 1, messages 1.\n")
    there = {"DATABASE_URL": postgres_url}
    assert _call("import", "-", folder=tmp_path, variables=there, given=exported.stdout).returncode == 0
    with running_service(
        "microservices.assistants", port_variable="ASSISTANTS_PORT", log_folder=tmp_path, environment=there
    ) as service:
        page = httpx.get(f"{service.url}/v1/threads/thread_1/messages", headers={"OpenAI-Beta": "assistants=v2"}).json()
        assert [message["id"] for message in page["data"]] == ["msg_1"]
        assert _call("export", "out.jsonl", folder=tmp_path, variables=there).returncode == 0
    out = tmp_path / "out.jsonl"
    assert out.read_text() == exported.stdout
    assert out.stat().st_mode & 0o077 == 0
    assert not (tmp_path / "out.jsonl.partial").exists()


def test_import_with_bad_lines_exits_with_one_and_names_them(tmp_path: Path) -> None:
    """The good lines are imported; the exit code tells a script that not all were."""
    result = _call("import", "-", folder=tmp_path, given=_lines(_SAVED[0]) + "{oops\n")
    assert result.returncode == 1
    assert result.stderr.startswith("line 2: not JSON (")
    assert result.stderr.endswith("Imported: threads 1.\n")


@pytest.mark.parametrize(
    ("variables", "arguments", "told"),
    [
        (
            {"DATABASE_URL": "postgresql://me:hidden-word@127.0.0.1:1/x"},
            [],
            "The database postgresql://***@127.0.0.1:1/x",
        ),
        ({"DATABASE_URL": "mysql://me:hidden-word@h/x"}, [], "Setting DATABASE_URL: 'mysql' is no database for this."),
        ({"DATABASE_URL": "sqlite:////proc/nowhere/x.sqlite"}, [], "DATABASE_URL: the folder /proc/nowhere is not"),
        ({"DATABASE_URL": "sqlite:////proc/nowhere/x.sqlite"}, ["export", "-"], "mkdir -p /proc/nowhere"),
        ({"ASSISTANTS_DATA_DIR": "/dev/null"}, ["export", "-"], "ASSISTANTS_DATA_DIR: /dev/null cannot be the folder"),
        ({}, ["export", "/dev/null/x"], "/dev/null/x cannot be written: Not a directory."),
        ({}, ["import", "-", "--api-key-env", "NOT_SET"], "--api-key-env: NOT_SET holds nothing."),
        ({}, ["import", "missing.jsonl"], "'missing.jsonl' does not exist"),
        ({}, ["exprot"], "No such command 'exprot'"),
    ],
)
def test_command_line_says_in_one_sentence_what_is_wrong(
    variables: dict[str, str], arguments: list[str], told: str, tmp_path: Path
) -> None:
    """A configuration or command line that cannot work: exit code 2, the place, and no password."""
    result = _call(*arguments, folder=tmp_path, variables=variables)
    assert result.returncode == 2
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert "hidden-word" not in result.stderr
