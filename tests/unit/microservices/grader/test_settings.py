"""What the grader can be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from microservices.grader.settings import GraderSettings, catalog_of
from servicekit.errors import ConfigurationError
from servicekit.settings import load_settings


def test_settings_default_to_loopback_and_port_9003() -> None:
    """Without any variable the grader is private, on its well-known port."""
    settings = load_settings(GraderSettings)
    assert (settings.host, settings.port, settings.model_id) == ("127.0.0.1", 9003, None)


def test_settings_read_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable of the grader reaches its field."""
    monkeypatch.setenv("GRADER_SERVICE_HOST", "0.0.0.0")  # noqa: S104 - only read
    monkeypatch.setenv("GRADER_SERVICE_PORT", "9103")
    monkeypatch.setenv("GRADER_MODEL_ID", "judge")
    monkeypatch.setenv("GRADER_LLM_ENDPOINT", "http://127.0.0.1:11434")
    monkeypatch.setenv("GRADER_MAX_SOURCE_CHARS", "10")
    monkeypatch.setenv("GRADER_MAX_CANDIDATE_CHARS", "20")
    settings = load_settings(GraderSettings)
    assert (settings.host, settings.port, settings.model_id) == ("0.0.0.0", 9103, "judge")  # noqa: S104
    assert (settings.max_source_chars, settings.max_candidate_chars) == (10, 20)
    assert catalog_of(settings).find(None).base_url == "http://127.0.0.1:11434/v1"


def test_settings_name_the_variable_of_a_bad_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every problem names its variable, all at once."""
    monkeypatch.setenv("GRADER_SERVICE_PORT", "http")
    monkeypatch.setenv("GRADER_LLM_ENDPOINT", "localhost:11434")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(GraderSettings)
    text = str(caught.value)
    assert "GRADER_SERVICE_PORT" in text
    assert "GRADER_LLM_ENDPOINT" in text


def test_catalog_of_judges_with_the_default_model_unless_told_otherwise() -> None:
    """models.json's default judges."""
    assert catalog_of(GraderSettings()).find(None).model == "phrasebook"


def test_catalog_of_refuses_a_model_that_models_json_does_not_have() -> None:
    """The message names the variable and the models there are."""
    with pytest.raises(ConfigurationError, match=r"GRADER_MODEL_ID is 'gpt-9', but .*phrasebook"):
        catalog_of(GraderSettings(model_id="gpt-9"))


def test_catalog_of_needs_a_model_name_for_an_endpoint() -> None:
    """An endpoint alone does not say which model judges."""
    with pytest.raises(ConfigurationError, match="GRADER_LLM_ENDPOINT is set without GRADER_MODEL_ID"):
        catalog_of(GraderSettings(llm_endpoint="http://127.0.0.1:11434"))


def test_catalog_of_says_which_models_file_is_missing(tmp_path: Path) -> None:
    """A models.json that is not there is named."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.json: cannot be read"):
        catalog_of(GraderSettings(models_file=tmp_path / "nowhere.json"))
