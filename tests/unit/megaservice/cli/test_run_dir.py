"""The folder of a run: where its socket lies, what it remembers, what it leaves."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from megaservice.cli.run_dir import MAX_SOCKET_PATH_BYTES, RunDir
from megaservice.cli.services import configured_services
from servicekit.environment import PROJECT_ROOT
from servicekit.errors import ConfigurationError


@pytest.fixture
def long_run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """Give a run folder whose path is too long for a socket."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return RunDir(tmp_path / ("è" * 60))


def test_run_dir_is_in_the_checkout_unless_a_variable_moves_it(tmp_path: Path) -> None:
    """`.run` by default; relative paths count from the checkout."""
    assert RunDir.from_variables({}).path == PROJECT_ROOT / ".run"
    assert RunDir.from_variables({"MEGASERVICE_RUN_DIR": str(tmp_path)}).path == tmp_path
    assert RunDir.from_variables({"MEGASERVICE_RUN_DIR": "else"}).path == PROJECT_ROOT / "else"


def test_socket_lies_in_the_run_dir_where_its_path_fits() -> None:
    """A short path needs no other place."""
    assert RunDir(Path("/short")).socket == Path("/short/supervisor.sock")


def test_socket_moves_to_a_private_folder_where_its_path_is_too_long(long_run_dir: RunDir) -> None:
    """Counted in bytes; the folder's name is the same each time and only this user can enter it."""
    long_run_dir.make()
    assert long_run_dir.socket.parent.parent != long_run_dir.path
    assert long_run_dir.socket == RunDir(long_run_dir.path).socket
    assert stat.S_IMODE(long_run_dir.socket.parent.stat().st_mode) == 0o700


def test_socket_limit_leaves_room_for_what_supervisor_appends() -> None:
    """Supervisor binds `<path>.<pid>` first; macOS allows 103 bytes."""
    assert MAX_SOCKET_PATH_BYTES + len(f".{2**22}") <= 103


def test_remove_traces_leaves_the_logs_and_no_socket_folder(long_run_dir: RunDir) -> None:
    """After `down` only what a person may want to read is there."""
    long_run_dir.make()
    long_run_dir.log("llm").write_text("words")
    for path in (long_run_dir.socket, long_run_dir.pid_file, long_run_dir.config, long_run_dir.started_file("llm")):
        path.touch()
    long_run_dir.record(configured_services({}))
    long_run_dir.remove_traces()
    long_run_dir.remove_traces()
    assert [path.name for path in long_run_dir.path.iterdir()] == ["logs"]
    assert not long_run_dir.socket.parent.exists()
    assert long_run_dir.log("llm").read_text() == "words"


def test_recorded_gives_what_was_recorded(tmp_path: Path) -> None:
    """`status` asks the ports of the start, whatever `.env` says by now."""
    services = configured_services({"MEGA_SERVICE_PORT": "1234"})
    run_dir = RunDir(tmp_path)
    assert run_dir.recorded() is None
    run_dir.record(services)
    assert run_dir.recorded() == services


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"name": "llm"}]', "null"])
def test_recorded_is_none_where_the_file_is_damaged(tmp_path: Path, text: str) -> None:
    """A half-written record is as good as none."""
    (tmp_path / "services.json").write_text(text)
    assert RunDir(tmp_path).recorded() is None


def test_make_names_the_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """One sentence, not a traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="file"):
        RunDir(tmp_path / "file" / "run").make()


def test_make_refuses_a_socket_folder_of_another_user(long_run_dir: RunDir) -> None:
    """Whoever owns the folder could replace the socket in it."""
    if os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    long_run_dir.make()
    os.chown(long_run_dir.socket.parent, os.getuid() + 1, -1)
    with pytest.raises(ConfigurationError, match="another user"):
        long_run_dir.make()


@pytest.mark.parametrize(("wanted", "told"), [(True, "-"), (False, "false")])
def test_services_are_told_whether_to_ask_their_providers(tmp_path: Path, wanted: bool, told: str) -> None:
    """By the launcher, whatever environment the supervisor was started with; the last `up` counts."""
    run_dir = RunDir(tmp_path)
    run_dir.choose_pings(wanted=False)
    run_dir.choose_pings(wanted=wanted)
    launcher = PROJECT_ROOT / "megaservice" / "cli" / "launch.sh"
    command = [
        "/bin/sh",
        str(launcher),
        str(run_dir.started_file("llm")),
        "/bin/sh",
        "-c",
        'echo "${PING_PROVIDERS:--}"',
    ]
    environment = {"PATH": os.environ["PATH"]}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=10, check=True)
    assert result.stdout.strip() == told
