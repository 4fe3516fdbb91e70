"""`make up-docker` and `make down-docker` with a `docker` that behaves as told: Docker itself is on few machines."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from servicekit.environment import PROJECT_ROOT
from tests.support.network import find_free_port

SCRIPT = PROJECT_ROOT / "scripts" / "docker.sh"
#: What the script uses besides docker.
TOOLS = ("dirname", "sed", "sort", "head", "tail", "grep", "curl")

#: Notes its arguments; answers what the script asks, from its variables.
DOCKER = """#!/bin/sh
echo "COMPOSE_PROFILES=$COMPOSE_PROFILES $*" >> "$DOCKER_CALLS"
case "$*" in
"compose version --short") [ -n "$DOCKER_COMPOSE" ] && echo "$DOCKER_COMPOSE" ;;
info) [ -z "$DOCKER_PROBLEM" ] || { echo "$DOCKER_PROBLEM" >&2; exit 1; } ;;
"compose config") printf '    ports:\\n        published: "%s"\\n' "$DOCKER_PORT" ;;
"compose ps --format"*) echo "$DOCKER_RUNS" ;;
"compose up"*) exit "${DOCKER_UP:-0}" ;;
esac
"""


class Machine:
    """A machine with a `docker`, or without."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._calls = folder / "calls"
        self.port = find_free_port()
        self.variables = {"DOCKER_COMPOSE": "2.39.1"}
        for tool in TOOLS:
            path = shutil.which(tool)
            assert path is not None
            (folder / tool).symlink_to(path)
        self.docker = folder / "docker"
        self.docker.write_text(DOCKER)
        self.docker.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """What docker was asked."""
        return self._calls.read_text().splitlines() if self._calls.exists() else []

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        told = {"PATH": str(self._folder), "DOCKER_CALLS": str(self._calls), "DOCKER_PORT": str(self.port)}
        return subprocess.run(
            ["/bin/sh", str(SCRIPT), *arguments],
            env={**told, **self.variables},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Give a machine on which everything works."""
    return Machine(tmp_path)


def test_docker_script_starts_every_service_and_waits(machine: Machine) -> None:
    """With the profile of all services, and an image of the code as it is now."""
    found = machine.run("up")
    assert found.returncode == 0, found.stderr
    up = next(call for call in machine.calls if " compose up " in call)
    assert up.startswith("COMPOSE_PROFILES=all compose up --build --detach --wait ")
    assert "make down-docker" in found.stdout


def test_docker_script_takes_the_profiles_that_are_asked_for(machine: Machine) -> None:
    """COMPOSE_PROFILES is compose's own variable."""
    machine.variables["COMPOSE_PROFILES"] = "all,postgres"
    assert machine.run("up").returncode == 0
    assert any(call.startswith("COMPOSE_PROFILES=all,postgres compose up ") for call in machine.calls)


def test_docker_script_stops_every_service_and_keeps_the_data(machine: Machine) -> None:
    """Of whatever profile it was started by."""
    found = machine.run("down")
    assert found.returncode == 0, found.stderr
    assert machine.calls[-1].endswith("compose --profile * down --remove-orphans")


@pytest.mark.parametrize("kind", ["up", "down"])
def test_docker_script_says_that_docker_is_missing(kind: str, machine: Machine) -> None:
    """And that there is a way without it."""
    machine.docker.unlink()
    found = machine.run(kind)
    assert found.returncode == 1
    assert found.stderr.startswith("Docker is not installed: ")
    assert "`make up`" in found.stderr


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"DOCKER_COMPOSE": ""}, ["Compose plugin", "https://docs.docker.com/compose/install/"]),
        ({"DOCKER_COMPOSE": "2.23.3"}, ["2.24.6 or later", "this is 2.23.3"]),
        ({"DOCKER_COMPOSE": "v2.9.0-desktop.1"}, ["2.24.6 or later", "this is 2.9.0"]),
        ({"DOCKER_PROBLEM": "Cannot connect to the Docker daemon"}, ["does not run", "Cannot connect", "`make up`"]),
        ({"DOCKER_PROBLEM": "permission denied while trying to connect"}, ["usermod -aG docker"]),
    ],
    ids=["no-plugin", "old", "much-older", "no-daemon", "no-right"],
)
def test_docker_script_says_what_is_missing_before_anything_starts(
    variables: dict[str, str], words: list[str], machine: Machine
) -> None:
    """In a sentence with the remedy."""
    machine.variables |= variables
    found = machine.run("up")
    assert found.returncode == 1
    assert all(word in found.stderr for word in words), found.stderr
    assert not any(" compose up " in call for call in machine.calls)


def test_docker_script_accepts_newer_versions(machine: Machine) -> None:
    """Compared as numbers, not as text."""
    machine.variables["DOCKER_COMPOSE"] = "v2.100.0"
    assert machine.run("up").returncode == 0


def test_docker_script_names_a_port_that_is_taken(machine: Machine) -> None:
    """Most likely by `make up`, which uses the same ones; found before a model is downloaded."""
    with socket.create_server(("127.0.0.1", machine.port)):
        found = machine.run("up")
    assert found.returncode == 1
    assert f"port {machine.port}." in found.stderr
    assert "`make down`" in found.stderr
    assert not any(" compose up " in call for call in machine.calls)


def test_docker_script_does_not_mind_its_own_containers(machine: Machine) -> None:
    """A second `make up-docker` takes over what changed."""
    machine.variables["DOCKER_RUNS"] = f"127.0.0.1:{machine.port}->9002/tcp"
    with socket.create_server(("127.0.0.1", machine.port)):
        assert machine.run("up").returncode == 0


def test_docker_script_shows_the_job_that_failed(machine: Machine) -> None:
    """The states of the containers, and what the pulling of the models said last."""
    machine.variables["DOCKER_UP"] = "1"
    found = machine.run("up")
    assert found.returncode == 1
    assert "docker compose logs SERVICE" in found.stderr
    assert any(call.endswith("compose logs --no-log-prefix --tail 5 model") for call in machine.calls)


@pytest.mark.parametrize("arguments", [[], ["start"]], ids=["none", "unknown"])
def test_docker_script_shows_its_usage(arguments: list[str], machine: Machine) -> None:
    """It has two commands."""
    found = machine.run(*arguments)
    assert found.returncode != 0
    assert "docker.sh up|down" in found.stderr


def test_make_has_both_targets() -> None:
    """They are the script's two commands."""
    text = (PROJECT_ROOT / "Makefile").read_text("utf-8")
    for target, kind in (("up-docker", "up"), ("down-docker", "down")):
        assert f"\n{target}: ##" in text
        assert f"@sh scripts/docker.sh {kind}\n" in text


def test_docker_script_needs_no_python() -> None:
    """Whoever has Docker may have no Python that suits."""
    assert "python" not in SCRIPT.read_text("utf-8")
    assert os.access(SCRIPT, os.R_OK)
