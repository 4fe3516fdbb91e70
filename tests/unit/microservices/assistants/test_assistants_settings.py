"""The settings of the assistants."""

from __future__ import annotations

from pathlib import Path

import pytest

from microservices.assistants.settings import AssistantsSettings
from microservices.assistants.store.database import with_driver
from servicekit.environment import PROJECT_ROOT
from servicekit.errors import ConfigurationError
from servicekit.settings import load_settings


def test_settings_without_variables_are_the_documented_ones() -> None:
    """Port 3000 on loopback, SQLite in the project's data folder, the gateway on this machine."""
    settings = load_settings(AssistantsSettings)
    assert (settings.host, settings.port) == ("127.0.0.1", 3000)
    assert settings.database == f"sqlite:///{PROJECT_ROOT}/data/assistants.sqlite"
    assert (settings.gateway, settings.gateway_key) == ("http://127.0.0.1:8000/v1", None)


def test_settings_follow_their_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The data folder, the gateway's port and its key are taken from where users set them."""
    monkeypatch.setenv("ASSISTANTS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MEGA_SERVICE_PORT", "8123")
    monkeypatch.setenv("API_KEYS", "first,second")
    settings = load_settings(AssistantsSettings)
    assert settings.database == f"sqlite:///{tmp_path}/assistants.sqlite"
    assert (settings.gateway, settings.gateway_key) == ("http://127.0.0.1:8123/v1", "first")
    monkeypatch.setenv("ASSISTANTS_GATEWAY_URL", "http://gateway:8000/v1/")
    monkeypatch.setenv("ASSISTANTS_GATEWAY_API_KEY", "own")
    settings = load_settings(AssistantsSettings)
    assert (settings.gateway, settings.gateway_key) == ("http://gateway:8000/v1", "own")


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:hidden-word@host/name",
        "postgresql://me:hidden-word@host:hidden-word/name",
        "postgresql//me:hidden-word@host/name",
        "sqlite://",
        "sqlite:///:memory:",
        "hidden-word",
    ],
)
def test_database_url_that_cannot_be_meant_is_refused_without_repeating_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The problem names the variable and what to write; what may be a password is not shown."""
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(ConfigurationError, match=r"^Setting DATABASE_URL: .* Write sqlite:///") as raised:
        load_settings(AssistantsSettings)
    assert "hidden-word" not in str(raised.value)


@pytest.mark.parametrize(
    "rest", ["hidden@word@127.0.0.1:9/x", "a@hidden/word@h:9/x", "a@hidden?word@h:9/x", "a@hid:den@h:9/x"]
)
def test_database_url_with_a_bare_at_sign_in_its_password_says_how_to_write_it(
    rest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows the first @ would be taken for the host, and shown with it."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://bob:{rest}")
    with pytest.raises(ConfigurationError, match=r"^Setting DATABASE_URL: .* in a password (is|are) %40") as raised:
        load_settings(AssistantsSettings)
    assert not any(part in str(raised.value) for part in ("hid", "127.0.0.1"))
    assert "postgresql://user:password@host:5432/name" in str(raised.value)


def test_database_url_takes_an_encoded_password_and_a_user_with_an_at_sign() -> None:
    """As %40 it is the password's own; some providers' users have one."""
    assert with_driver("postgresql://me@site:hid%40den@host/name").password == "hid@den"
    assert with_driver("postgresql://me:a/b:c?d@[::1]:5/name").host == "::1"
    assert with_driver("postgresql:///name?host=/run&user=a@b").database == "name"


def test_settings_do_not_show_the_password() -> None:
    """Neither the settings' text nor their dump holds the password of the database."""
    settings = AssistantsSettings(database_url="postgresql://me:hidden-word@host/name")
    assert "hidden-word" not in f"{settings!r} {settings.model_dump()}"
    assert "hidden-word" in settings.database


@pytest.mark.parametrize(
    ("url", "driven"),
    [
        ("postgres://h/n", "postgresql+psycopg://h/n"),
        ("postgresql://u@/n?host=/run/sockets", "postgresql+psycopg://u@/n?host=%2Frun%2Fsockets"),
        ("postgresql+asyncpg://h/n", "postgresql+psycopg://h/n"),
        ("sqlite:////tmp/x.sqlite", "sqlite+aiosqlite:////tmp/x.sqlite"),
        ("sqlite:///x/y.sqlite", f"sqlite+aiosqlite:///{PROJECT_ROOT}/x/y.sqlite"),
    ],
)
def test_database_url_is_driven_by_the_drivers_of_here(url: str, driven: str) -> None:
    """Users write the database; a driver they name is exchanged, a relative file starts at the project's root."""
    assert with_driver(url).render_as_string(hide_password=False) == driven
