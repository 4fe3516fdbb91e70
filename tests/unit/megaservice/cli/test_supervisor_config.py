"""The configuration of supervisord, read back by supervisor's own reader."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from supervisor.options import ServerOptions

from megaservice.cli.run_dir import RunDir
from megaservice.cli.services import configured_services
from megaservice.cli.supervisor_config import render_config
from servicekit.environment import PROJECT_ROOT


@pytest.fixture(params=["run", "a folder; with 100% of %(here)s"])
def run_dir(tmp_path: Path, request: pytest.FixtureRequest) -> RunDir:
    """Give a run folder, once with all in its name that supervisor would expand or take for a comment."""
    run_dir = RunDir(tmp_path / request.param)
    run_dir.make()
    return run_dir


def _read(run_dir: RunDir) -> Any:  # noqa: ANN401 - supervisor has no types
    run_dir.config.write_text(render_config(run_dir, configured_services({})))
    options = ServerOptions()
    options.realize(["-c", str(run_dir.config)])
    return options


def _programs(run_dir: RunDir) -> dict[str, Any]:
    groups = _read(run_dir).process_group_configs
    return {group.name: group.process_configs[0] for group in groups}


def test_config_has_every_path_as_it_is(run_dir: RunDir) -> None:
    """Per cent signs, blanks and semicolons in the checkout's path do not matter."""
    options = _read(run_dir)
    assert options.pidfile == str(run_dir.pid_file)
    assert options.logfile == str(run_dir.supervisor_log)
    assert options.server_configs[0]["file"] == str(run_dir.socket)
    assert {name: program.stdout_logfile for name, program in _programs(run_dir).items()} == {
        name: str(run_dir.log(name)) for name in ("llm", "grader", "retriever", "gateway", "assistants")
    }


def test_config_starts_each_module_with_this_interpreter_from_the_checkout(run_dir: RunDir) -> None:
    """Through the launcher, which holds restarts back."""
    llm = _programs(run_dir)["llm"]
    shell, launcher, started_file, *command = shlex.split(llm.command)
    assert (shell, Path(launcher).name) == ("/bin/sh", "launch.sh")
    assert started_file == str(run_dir.started_file("llm"))
    assert command == [sys.executable, "-m", "microservices.llm"]
    assert llm.directory == str(PROJECT_ROOT)


def test_config_never_restarts_a_configuration_error(run_dir: RunDir) -> None:
    """Exit code 2 is final, at whatever moment; a crash is not."""
    for program in _programs(run_dir).values():
        assert program.exitcodes == [0, 2]
        assert program.startsecs == 0
        assert not program.autostart
        assert program.autorestart.__name__ == "RestartWhenExitUnexpected"


def test_config_gives_services_time_to_drain(run_dir: RunDir) -> None:
    """They finish requests for up to 30 s after SIGTERM; their children go with them."""
    for program in _programs(run_dir).values():
        assert program.stopwaitsecs >= 35
        assert program.stopasgroup
        assert program.killasgroup


def test_config_stops_first_who_calls_others(run_dir: RunDir) -> None:
    """Supervisor stops in the reverse order of priorities."""
    programs = _programs(run_dir)
    in_order = sorted(programs, key=lambda name: int(programs[name].priority))
    assert in_order == ["llm", "grader", "retriever", "gateway", "assistants"]
