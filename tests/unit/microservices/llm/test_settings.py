"""What the environment tells the LLM microservice."""

from __future__ import annotations

from pathlib import Path

import pytest

from microservices.llm.settings import LLMSettings
from servicekit.errors import ConfigurationError
from servicekit.model_settings import catalog_from
from servicekit.settings import load_settings


@pytest.fixture
def models_file(tmp_path: Path) -> Path:
    """Give a models.json with one model and one alias."""
    path = tmp_path / "models.json"
    path.write_text('{"aliases": {"llama3.2:1b": {"provider": "embedded", "model": "small.gguf"}}}')
    return path


def load(monkeypatch: pytest.MonkeyPatch, **variables: str) -> LLMSettings:
    """Read the settings from an environment with these variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load_settings(LLMSettings)


def test_defaults_are_loopback_and_port_9002(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens to the outside unless told so."""
    settings = load(monkeypatch)
    assert (settings.host, settings.ports) == ("127.0.0.1", [9002])


@pytest.mark.parametrize("name", ["LLM_SERVICE_PORT", "LLM_SERVER_PORT"])
def test_port_has_two_names(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """OPEA's users know both."""
    assert load(monkeypatch, **{name: "9100"}).ports == [9100]


@pytest.mark.parametrize(("second", "ports"), [("8008", [9002, 8008]), ("9002", [9002])])
def test_endpoint_port_is_a_second_port(monkeypatch: pytest.MonkeyPatch, second: str, ports: list[int]) -> None:
    """The same number given twice is one port."""
    assert load(monkeypatch, LLM_ENDPOINT_PORT=second).ports == ports


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"LLM_SERVICE_PORT": "http"}, "LLM_SERVICE_PORT"),
        ({"LLM_ENDPOINT_PORT": "70000"}, "LLM_ENDPOINT_PORT"),
        ({"LLM_ENDPOINT": "localhost:9009", "LLM_MODEL_ID": "x"}, "LLM_ENDPOINT"),
        ({"LLM_ENDPOINT": "http://localhost:9009"}, "LLM_ENDPOINT is set without LLM_MODEL_ID"),
    ],
)
def test_bad_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: str) -> None:
    """The message says which variable to change."""
    with pytest.raises(ConfigurationError, match=named):
        load(monkeypatch, **variables)


@pytest.mark.parametrize("name", ["LLM_MODEL_ID", "LLM_MODEL"])
def test_model_id_is_the_default_model(monkeypatch: pytest.MonkeyPatch, models_file: Path, name: str) -> None:
    """A request without a model is answered by it."""
    settings = load(monkeypatch, MODELS_FILE=str(models_file), **{name: "small"})
    assert catalog_from(settings).default_name == "small"


def test_model_id_with_an_endpoint_is_an_upstream(monkeypatch: pytest.MonkeyPatch, models_file: Path) -> None:
    """OPEA's way to configure a model wins over an alias of the same name."""
    settings = load(
        monkeypatch,
        MODELS_FILE=str(models_file),
        LLM_MODEL_ID="llama3.2:1b",
        LLM_ENDPOINT="http://127.0.0.1:11434",
    )
    entry = catalog_from(settings).find(None)
    assert (entry.model, entry.base_url) == ("llama3.2:1b", "http://127.0.0.1:11434/v1")


def test_model_id_that_is_known_nowhere_names_both_remedies(monkeypatch: pytest.MonkeyPatch, models_file: Path) -> None:
    """The process ends with a sentence that says what there is and what to do."""
    settings = load(monkeypatch, MODELS_FILE=str(models_file), LLM_MODEL_ID="nope")
    with pytest.raises(ConfigurationError) as caught:
        catalog_from(settings)
    (problem,) = caught.value.problems
    for part in ("'nope'", "small, llama3.2:1b", str(models_file), "LLM_ENDPOINT"):
        assert part in problem
