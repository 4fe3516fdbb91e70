"""The commit of a checkout, read without git."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from servicekit.records.manifest import ManifestSource, git_sha


def _git(folder: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *settings, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Give a repository with one commit."""
    folder = tmp_path / "repository"
    folder.mkdir()
    _git(folder, "init", "-q")
    _git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    return folder


def test_git_sha_of_a_branch_packed_and_loose(repository: Path) -> None:
    """Wherever git keeps the reference."""
    sha = _git(repository, "rev-parse", "HEAD")
    assert git_sha(repository) == sha
    _git(repository, "pack-refs", "--all")
    assert git_sha(repository) == sha


def test_git_sha_of_a_detached_head_and_of_a_worktree(repository: Path, tmp_path: Path) -> None:
    """Also where `.git` is a file that points elsewhere."""
    sha = _git(repository, "rev-parse", "HEAD")
    _git(repository, "worktree", "add", "-q", "-b", "other", str(tmp_path / "tree"))
    assert git_sha(tmp_path / "tree") == sha
    _git(repository, "checkout", "-q", "--detach")
    assert git_sha(repository) == sha


def test_git_sha_without_a_repository_is_none(tmp_path: Path) -> None:
    """An unpacked archive has no commit, and that is no failure."""
    assert git_sha(tmp_path) is None


def test_manifest_has_the_commit_of_the_start(repository: Path) -> None:
    """What was committed since is not what runs."""
    sha = _git(repository, "rev-parse", "HEAD")
    source = ManifestSource("id", "gateway", {"port": 1}, repository)
    _git(repository, "commit", "-q", "--allow-empty", "-m", "second")
    manifest = source()
    assert (manifest["run_id"], manifest["git_sha"], manifest["config"]) == ("id", sha, {"port": 1})
