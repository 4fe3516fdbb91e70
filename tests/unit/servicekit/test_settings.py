"""Settings from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from megaservice.settings import GatewaySettings
from microservices.grader.settings import GraderSettings
from microservices.llm.settings import LLMSettings
from servicekit.errors import ConfigurationError
from servicekit.settings import ServiceSettings, load_settings


def test_load_settings_splits_comma_separated_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are written with commas; blanks do not count."""
    monkeypatch.setenv("API_KEYS", "one, two,,")
    monkeypatch.setenv("CORS_ORIGINS", "http://a.example")
    settings = load_settings(ServiceSettings)
    assert [key.get_secret_value() for key in settings.api_keys] == ["one", "two"]
    assert settings.cors_origins == ("http://a.example",)


def test_load_settings_names_every_bad_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """All problems come at once, each naming its variable and where to change it."""
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    monkeypatch.setenv("MAX_BODY_BYTES", "10")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(ServiceSettings)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "Setting LOG_LEVEL",
        "Setting MAX_BODY_BYTES",
    ]


def test_load_settings_does_not_show_a_bad_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values never reach an error message, since one of them may be a key."""
    monkeypatch.setenv("API_KEYS", "very-secret")
    monkeypatch.setenv("DRAIN_SECONDS", "very-secret")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(ServiceSettings)
    assert "very-secret" not in str(caught.value)


def test_load_settings_says_how_an_address_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """In words, and not as the pattern that it is checked with."""
    monkeypatch.setenv("LLM_ENDPOINT", "localhost:8008")
    with pytest.raises(ConfigurationError, match=r"LLM_ENDPOINT: must begin with http:// or https://") as caught:
        load_settings(LLMSettings)
    assert "pattern" not in str(caught.value)


def test_load_settings_ignores_what_is_empty_or_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """One environment serves every process, and an empty variable is one that is not set."""
    monkeypatch.setenv("LOG_LEVEL", "")
    monkeypatch.setenv("SOMETHING_ELSE", "x")
    assert load_settings(ServiceSettings).log_level == "INFO"


def test_settings_mask_keys_and_cannot_be_changed() -> None:
    """A logged settings object shows no key; a process's settings stay what they were."""
    settings = ServiceSettings.model_validate({"api_keys": "secret"})
    assert "secret" not in repr(settings)
    with pytest.raises(ValidationError):
        settings.log_level = "DEBUG"  # type: ignore[misc] # that it is refused is the point


def test_settings_read_only_the_variables_that_are_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    """`HOST`, `PORT` and the like belong to others: a shell's HOST must not make a service listen elsewhere."""
    for name, value in {"HOST": "10.0.0.1", "PORT": "1", "MODEL_ID": "x", "ENDPOINT": "http://x"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LLM_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("LLM_MODEL_ID", "m")
    gateway, llm, grader = load_settings(GatewaySettings), load_settings(LLMSettings), load_settings(GraderSettings)
    assert {gateway.host, llm.host, grader.host} == {"127.0.0.1"}
    assert (gateway.port, llm.port, grader.port) == (8000, 9002, 9003)
    assert grader.llm_endpoint is None


def test_settings_come_from_the_env_file_where_the_environment_is_silent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The environment wins."""
    (tmp_path / "env").write_text("LLM_SERVICE_PORT=1001\nLLM_MODEL_ID=m\nHOST=0.0.0.0\n")
    monkeypatch.setenv("MEGASERVICE_ENV_FILE", str(tmp_path / "env"))
    monkeypatch.setenv("LLM_MODEL_ID", "n")
    settings = load_settings(LLMSettings)
    assert (settings.port, settings.model_id, settings.host) == (1001, "n", "127.0.0.1")
