"""What can be seen of the image without Docker: what it is made from, and that what it copies is enough to run."""

from __future__ import annotations

import fnmatch
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from servicekit.environment import PROJECT_ROOT
from tests.support.compose import COMPOSE, load

DOCKERFILE = PROJECT_ROOT / "compose" / "Dockerfile"
SERVICES = ("model", "llm", "grader", "gateway", "retriever", "assistants")


def _instructions() -> list[tuple[str, str]]:
    """Return each instruction with what follows it, continued lines joined, comments left out."""
    lines = [line for line in DOCKERFILE.read_text("utf-8").splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines())]


def _stages() -> list[list[tuple[str, str]]]:
    stages: list[list[tuple[str, str]]] = []
    for instruction in _instructions():
        if instruction[0] == "FROM":
            stages.append([])
        if stages:
            stages[-1].append(instruction)
    return stages


def _copies(stage: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield what a stage copies out of the checkout, and where to."""
    for name, rest in stage:
        if name == "COPY" and "--from" not in rest:
            *sources, target = shlex.split(rest)
            yield from ((source, target) for source in sources)


def _is_sent(path: str) -> bool:
    """Whether .dockerignore lets a path into the build: the last line that matches it or a folder above it decides."""
    sent = True
    lines = (PROJECT_ROOT / ".dockerignore").read_text("utf-8").splitlines()
    places = ["/".join(path.split("/")[: depth + 1]) for depth in range(path.count("/") + 1)]
    for line in filter(None, (line.strip() for line in lines)):
        pattern = line.removeprefix("!").removeprefix("**/")
        names = [place.rsplit("/", 1)[-1] for place in places] if "**/" in line else places
        if not line.startswith("#") and any(fnmatch.fnmatchcase(name, pattern) for name in names):
            sent = line.startswith("!")
    return sent


def _module_of(command: list[str]) -> str:
    """Return what follows `python -m`."""
    return command[command.index("-m") + 1]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out what the last stage copies, as it would lie in the image."""
    folder = tmp_path_factory.mktemp("app")
    for source, target in _copies(_stages()[-1]):
        place = folder / target / Path(source).name if target.endswith("/") else folder / target
        place.parent.mkdir(parents=True, exist_ok=True)
        if (PROJECT_ROOT / source).is_dir():
            shutil.copytree(PROJECT_ROOT / source, place, ignore=shutil.ignore_patterns("build"))
        else:
            shutil.copy(PROJECT_ROOT / source, place)
    return folder


def test_base_is_pinned_and_the_same_everywhere() -> None:
    """One release of Python, for both stages, by default the one that compose asks for; not on Debian 12's SQLite."""
    first, rest = _instructions()[0]
    name, _, base = rest.partition("=")
    assert (first, name) == ("ARG", "PYTHON_IMAGE")
    assert re.fullmatch(r"python:3\.1[123]\.\d+-slim-[a-z]+", base)
    assert not base.endswith("bookworm")
    assert [stage[0][1].split(" ")[0] for stage in _stages()] == ["${PYTHON_IMAGE}"] * 2
    assert load(COMPOSE)["services"]["llm"]["build"]["args"]["PYTHON_IMAGE"] == base


def test_packages_come_from_the_lock_with_their_hashes() -> None:
    """Nothing is built from source, so no compiler is needed in either stage."""
    runs = " ".join(rest for name, rest in _stages()[0] if name == "RUN")
    assert "--require-hashes" in runs
    assert "--no-deps" in runs
    assert "--only-binary :all:" in runs
    assert "requirements.lock" in runs
    everything = DOCKERFILE.read_text("utf-8")
    assert not re.search(r"build-essential|\bgcc\b|python3-dev", everything)


def test_services_run_as_a_numbered_user_that_is_not_root() -> None:
    """The same as the compose file says, so that the image alone is no different."""
    users = [rest for name, rest in _stages()[-1] if name == "USER"]
    assert users == [load(COMPOSE)["services"]["llm"]["user"]]
    assert int(users[0].split(":")[0]) > 0
    assert _stages()[-1][-1][0] == "CMD"


def test_what_is_copied_is_there_and_sent_to_the_build() -> None:
    """A path that is renamed fails here, not in the next build."""
    copied = [source for stage in _stages() for source, _ in _copies(stage)]
    assert copied
    assert [path for path in copied if not (PROJECT_ROOT / path).exists() or not _is_sent(path)] == []


@pytest.mark.parametrize("path", [".env", ".git/config", ".venv/bin/python", "runs/x", "tests/conftest.py", "data/x"])
def test_what_is_not_for_the_image_is_not_sent(path: str) -> None:
    """Least of all the file with the keys."""
    assert not _is_sent(path)
    assert not _is_sent("megaservice/__pycache__/app.cpython-313.pyc")


def test_image_has_all_that_its_services_import(image: Path) -> None:
    """Every application can be imported from what is copied alone; the models and pipelines are there, too."""
    started = [_module_of(load(COMPOSE)["services"][name]["command"]) for name in SERVICES]
    modules = [module if module.startswith("scripts.") else f"{module}.app" for module in started]
    code = f"""
import importlib, sys
sys.path[0] = {str(image)!r}
for name in {modules!r}:
    importlib.import_module(name)
from megaservice.settings import GatewaySettings
from servicekit.models import BUNDLED_MODELS
settings = GatewaySettings()
paths = [settings.models_file, settings.pipelines_dir, *BUNDLED_MODELS.values()]
assert all(path.exists() and path.is_relative_to({str(image)!r}) for path in paths), paths
"""
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=image, capture_output=True, text=True, timeout=50, check=False
    )
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_command_of_a_service_is_a_module_of_the_image(name: str, image: Path) -> None:
    """`python -m` finds it, and so does the health check."""
    service = load(COMPOSE)["services"][name]
    for command in (service["command"], service.get("healthcheck", {"test": service["command"]})["test"]):
        module = _module_of(command).replace(".", "/")
        assert (image / f"{module}.py").is_file() or (image / module / "__main__.py").is_file(), module
