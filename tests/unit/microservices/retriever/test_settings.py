"""The retriever's settings: names, defaults, keys, and the page that explains them."""

from __future__ import annotations

from pathlib import Path

import pytest

from microservices.retriever.settings import RetrieverSettings
from servicekit.environment import PROJECT_ROOT
from servicekit.errors import ConfigurationError
from servicekit.settings import load_settings


def test_page_explains_every_setting() -> None:
    """A variable that nobody can find does not exist."""
    page = (PROJECT_ROOT / "docs" / "chatqna.md").read_text("utf-8")
    aliases = [str(field.validation_alias) for field in RetrieverSettings.model_fields.values()]
    assert [name for name in aliases if name.startswith("RETRIEVER_") and f"`{name}`" not in page] == []


def test_defaults_are_those_of_the_page() -> None:
    """The LLM microservice embeds."""
    settings = RetrieverSettings()
    assert (settings.host, settings.port, settings.embedding_key) == ("127.0.0.1", 7000, None)
    assert settings.embedding_url == "http://127.0.0.1:9002/v1/embeddings"
    assert (settings.documents_dir, settings.data_dir) == (Path("compose/documents"), Path("data/retriever"))


def test_key_of_our_services_never_goes_to_another_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor the other way round."""
    monkeypatch.setenv("API_KEYS", "ours,second")
    monkeypatch.setenv("RETRIEVER_EMBEDDING_API_KEY", "theirs")
    monkeypatch.setenv("LLM_SERVICE_PORT", "1234")
    ours = load_settings(RetrieverSettings)
    assert ours.embedding_url == "http://127.0.0.1:1234/v1/embeddings"
    assert ours.embedding_key is not None
    assert ours.embedding_key.get_secret_value() == "ours"
    monkeypatch.setenv("RETRIEVER_EMBEDDING_ENDPOINT", "http://tei:80/v1/embeddings")
    theirs = load_settings(RetrieverSettings)
    assert theirs.embedding_key is not None
    assert (theirs.embedding_url, theirs.embedding_key.get_secret_value()) == ("http://tei:80/v1/embeddings", "theirs")
    assert "theirs" not in repr(theirs)


@pytest.mark.parametrize(
    ("name", "value"),
    [("RETRIEVER_SERVICE_PORT", "many"), ("RETRIEVER_EMBEDDING_ENDPOINT", "tei"), ("RETRIEVER_CHUNK_SIZE_TOKENS", "1")],
)
def test_bad_value_names_its_variable(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As every service's does."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name):
        load_settings(RetrieverSettings)
