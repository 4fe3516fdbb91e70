"""Which folders the assistants make for their database."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from microservices.assistants.data_folder import make_data_folder
from microservices.assistants.settings import AssistantsSettings
from servicekit.environment import PROJECT_ROOT
from servicekit.errors import ConfigurationError


def _with_url(url: str) -> AssistantsSettings:
    return AssistantsSettings(database_url=SecretStr(url))


@pytest.fixture
def new_name() -> Iterator[str]:
    """Give a name that nothing in the project's data folder has; what is made under it is removed."""
    data, name = PROJECT_ROOT / "data", f"test-{uuid4().hex}"
    was_there = data.exists()
    yield name
    with suppress(FileNotFoundError):
        (data / name / "deeper").rmdir()
        (data / name).rmdir()
    if not was_there:
        data.rmdir()


def test_database_url_with_a_mistyped_folder_is_refused_and_makes_nothing(tmp_path: Path) -> None:
    """One sentence with the setting, the folder and what to do."""
    (tmp_path / "assistants").mkdir()
    folder = tmp_path / "asistants"
    with pytest.raises(ConfigurationError) as raised:
        make_data_folder(_with_url(f"sqlite:///{folder}/data.sqlite"))
    (problem,) = raised.value.problems
    assert problem.startswith(f"DATABASE_URL: the folder {folder} is not there. Correct the path")
    assert problem.endswith(f"or make the folder: mkdir -p {folder}")
    assert not folder.exists()


def test_database_url_with_a_folder_that_is_there_is_taken(tmp_path: Path) -> None:
    """Its file is made later."""
    make_data_folder(_with_url(f"sqlite:///{tmp_path}/data.sqlite"))
    assert list(tmp_path.iterdir()) == []


def test_database_url_in_the_project_s_data_folder_needs_nothing_made_before(new_name: str) -> None:
    """`sqlite:///data/...` works in a fresh checkout, at any depth."""
    make_data_folder(_with_url(f"sqlite:///data/{new_name}/deeper/x.sqlite"))
    assert (PROJECT_ROOT / "data" / new_name / "deeper").is_dir()


def test_database_url_that_leads_out_of_the_data_folder_is_not_the_project_s_own() -> None:
    """Two dots do not make another folder ours."""
    with pytest.raises(ConfigurationError, match=r"^DATABASE_URL: the folder .* is not there"):
        make_data_folder(_with_url(f"sqlite:///data/../{uuid4().hex}/x.sqlite"))


def test_data_dir_is_made_where_its_parent_is(tmp_path: Path) -> None:
    """It names a folder that is to be made."""
    make_data_folder(AssistantsSettings(data_dir=tmp_path / "data"))
    assert (tmp_path / "data").is_dir()


def test_data_dir_with_a_mistyped_parent_is_refused_and_makes_nothing(tmp_path: Path) -> None:
    """With the remedy as a shell takes it."""
    with pytest.raises(ConfigurationError) as raised:
        make_data_folder(AssistantsSettings(data_dir=tmp_path / "my disk" / "data"))
    assert str(raised.value).startswith(f"ASSISTANTS_DATA_DIR: the folder {tmp_path}/my disk is not there.")
    assert str(raised.value).endswith(f"mkdir -p '{tmp_path}/my disk'")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"database_url": "sqlite:////dev/null/x.sqlite"}, r"^DATABASE_URL: /dev/null cannot be .* \(File exists\)"),
        ({"data_dir": "/dev/null"}, r"^ASSISTANTS_DATA_DIR: /dev/null cannot be .* \(File exists\)"),
        ({"data_dir": "/dev/null/x"}, r"^ASSISTANTS_DATA_DIR: .* \(Not a directory\)"),
        ({"database_url": f"sqlite:////{'x' * 300}/x.sqlite"}, r"^DATABASE_URL: .* \(File name too long\)"),
    ],
)
def test_what_can_be_no_folder_is_refused_with_the_reason(values: dict[str, str], told: str) -> None:
    """A file, something below a file, a name that is too long."""
    with pytest.raises(ConfigurationError, match=told):
        make_data_folder(AssistantsSettings.model_validate(values))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everywhere")
def test_folder_that_cannot_be_seen_is_refused_with_the_reason(tmp_path: Path) -> None:
    """What lies in a folder without rights is not said to be missing."""
    tmp_path.chmod(0)
    try:
        with pytest.raises(ConfigurationError, match=r"DATABASE_URL: .* \(Permission denied\)"):
            make_data_folder(_with_url(f"sqlite:///{tmp_path}/a/x.sqlite"))
    finally:
        tmp_path.chmod(0o700)


def test_postgresql_needs_no_folder() -> None:
    """The data folder is not looked at."""
    settings = AssistantsSettings(database_url=SecretStr("postgresql://h/n"), data_dir=Path("/dev/null/x"))
    make_data_folder(settings)
