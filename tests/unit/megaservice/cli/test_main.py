"""The command line: what it says, and its exit codes, where nothing has to run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from megaservice.cli.main import main
from megaservice.cli.services import SERVICES
from servicekit.environment import PROJECT_ROOT

#: Importing any of these takes longer than all that `up`, `down` and `status` do themselves.
SLOW_IMPORTS = {"comps", "fastapi", "pydantic", "aiohttp", "uvicorn", "xllamacpp", "yaml"}


@pytest.mark.parametrize(("word", "nearest"), [("statsu", "status"), ("dwon", "down"), ("log", "logs")])
def test_main_names_the_nearest_command_for_an_unknown_one(
    word: str, nearest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and the word that was probably meant."""
    assert main([word]) == 2
    assert f"Did you mean {nearest}?" in capsys.readouterr().err


def test_main_lists_the_commands_where_none_is_near(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing like it: then all there are."""
    assert main(["xyzzy"]) == 2
    names = "chat, convert, doctor, down, graph, logs, models, run, runs, schema, serve, status, up, validate"
    assert f"There are: {names}" in capsys.readouterr().err


def test_main_names_the_nearest_option_for_an_unknown_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 for options too."""
    assert main(["up", "--timout", "3"]) == 2
    assert "--timeout" in capsys.readouterr().err


def test_logs_names_the_nearest_service_for_an_unknown_one(capsys: pytest.CaptureFixture[str]) -> None:
    """The services are few; the one meant is easily told."""
    assert main(["logs", "gatway"]) == 2
    assert "Did you mean gateway?" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["up", "--timeout", "soon"], ["logs", "-n", "-1"]])
def test_main_refuses_bad_values(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, naming the option."""
    assert main(arguments) == 2
    assert arguments[1] in capsys.readouterr().err


def test_up_says_which_port_variable_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Exit code 2 before anything is started."""
    monkeypatch.setenv("MEGASERVICE_RUN_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("LLM_SERVICE_PORT", "ninety")
    assert main(["up"]) == 2
    assert "LLM_SERVICE_PORT is 'ninety'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_status_says_that_nothing_runs_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Exit code 0 would mean that all are ready."""
    monkeypatch.setenv("MEGASERVICE_RUN_DIR", str(tmp_path / "run"))
    assert main(["status"]) == 1
    assert capsys.readouterr().out.count("not running") == len(SERVICES)


@pytest.mark.parametrize("module", ["starting", "stopping", "status", "logs", "main"])
def test_process_commands_import_nothing_slow(module: str) -> None:
    """`up` has seconds, and the services need them."""
    script = f"import sys, megaservice.cli.{module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert SLOW_IMPORTS.isdisjoint(result.stdout.split())
