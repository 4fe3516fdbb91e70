"""Which engines models.json makes, and which names they answer to."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from servicekit.engines.embedded import EmbeddedEngine
from servicekit.engines.openai_compatible import OpenAICompatibleEngine
from servicekit.engines.registry import EngineRegistry
from servicekit.engines.shared import SharedEngine
from servicekit.errors import ConfigurationError, ModelNotFoundError
from servicekit.http.client import HttpClient
from servicekit.models import ModelCatalog, ModelEntry, ModelsFile

OLLAMA = ModelEntry(provider="openai_compatible", model="qwen2.5:0.5b", base_url="http://127.0.0.1:1/v1")
SMALL = ModelEntry(provider="embedded", model="models/small.gguf")


def catalog(**aliases: ModelEntry) -> ModelCatalog:
    """Build a catalog whose relative paths start at /srv."""
    return ModelCatalog(ModelsFile(aliases=aliases), Path("/srv"))


def test_aliases_of_one_model_share_one_engine() -> None:
    """However a GGUF file is written in models.json, it is loaded once."""
    same = ModelEntry(provider="embedded", model="/srv/models/small.gguf")
    registry = EngineRegistry(catalog(a=SMALL, b=same, c=OLLAMA), HttpClient())
    assert registry.engine_for("a") is registry.engine_for("b")
    assert isinstance(registry.engine_for("a"), EmbeddedEngine)
    assert isinstance(registry.engine_for("c"), OpenAICompatibleEngine)


def test_names_are_models_then_aliases() -> None:
    """Both lists can be asked for."""
    registry = EngineRegistry(catalog(a=SMALL, c=OLLAMA), HttpClient())
    assert registry.names == ["small", "qwen2.5:0.5b", "a", "c"]


@pytest.mark.parametrize("name", [None, "", "a", "small"])
def test_default_alias_and_model_name_lead_to_the_same_engine(name: str | None) -> None:
    """The answer's `model` is the file's name, never its path."""
    registry = EngineRegistry(catalog(a=SMALL, c=OLLAMA), HttpClient())
    assert registry.engine_for(name).model == "small"


def test_unknown_name_is_refused_with_the_names_there_are() -> None:
    """`"model": "test-model"` of many tutorials gets a helpful 400."""
    registry = EngineRegistry(catalog(a=SMALL), HttpClient())
    with pytest.raises(ModelNotFoundError, match=r"'test-model' is not known here. The models there are: small, a\."):
        registry.engine_for("test-model")


def test_names_choose_which_engines_are_started() -> None:
    """A service that needs one model starts one, and knows no other."""
    registry = EngineRegistry(catalog(a=SMALL, c=OLLAMA), HttpClient(), names=["c"])
    assert registry.names == ["qwen2.5:0.5b", "c"]
    with pytest.raises(ModelNotFoundError, match=r"The models there are: qwen2.5:0.5b, c\."):
        registry.engine_for("a")


def test_alias_is_announced_once(caplog: pytest.LogCaptureFixture) -> None:
    """The log says which model answers for an alias, not for every request, and not for the model's own name."""
    registry = EngineRegistry(catalog(a=SMALL), HttpClient())
    with caplog.at_level(logging.INFO):
        for name in ("a", "a", None, "small"):
            registry.engine_for(name)
    assert [record.message for record in caplog.records] == [
        "model 'a' is answered by 'small' (alias in compose/models.json)"
    ]


def test_what_is_shared_is_made_once_and_knows_its_alias() -> None:
    """Default parameters, a fallback or several deployments make an engine of their own, over the same child."""
    warm = ModelEntry(provider="embedded", model="models/small.gguf", parameters={"temperature": 1}, fallback="a")
    registry = EngineRegistry(catalog(a=SMALL, warm=warm, also=warm, c=OLLAMA), HttpClient())
    assert isinstance(registry.engine_for("warm"), SharedEngine)
    assert registry.engine_for("warm") is registry.engine_for("also")
    assert isinstance(registry.engine_for("small"), EmbeddedEngine)
    assert registry.names == ["small", "qwen2.5:0.5b", "a", "warm", "also", "c"]


async def test_a_chosen_name_brings_its_fallback(refused_url: str) -> None:
    """It can be fallen back to, but not be asked for."""
    off = ModelEntry(provider="ollama", model="off", base_url=refused_url, fallback="spare")
    spare = ModelEntry(provider="ollama", model="spare", base_url=f"{refused_url}/v1")
    async with HttpClient() as client:
        registry = EngineRegistry(catalog(off=off, spare=spare), client, names=["off"])
        (problem,) = await registry.problems()
    assert registry.names == ["off"]
    assert "'off'" in problem
    assert "'spare'" in problem


@pytest.fixture
def registry_without_files(tmp_path: Path) -> EngineRegistry:
    """Give a registry whose two model files are missing."""
    entries = {name: ModelEntry(provider="embedded", model=str(tmp_path / f"{name}.gguf")) for name in "ab"}
    return EngineRegistry(catalog(**entries), HttpClient())


async def test_start_reports_the_problems_of_all_engines(
    registry_without_files: EngineRegistry, tmp_path: Path
) -> None:
    """Two missing files are two sentences, in one go."""
    with pytest.raises(ConfigurationError) as caught:
        await registry_without_files.start()
    files = [problem.split(":")[0] for problem in caught.value.problems]
    assert files == [str(tmp_path / "a.gguf"), str(tmp_path / "b.gguf")]


async def test_only_the_default_model_decides_whether_the_service_is_ready(refused_url: str) -> None:
    """An alias of a server that is off makes nothing unready; a default that is off does."""
    off = ModelEntry(provider="openai_compatible", model="off", base_url=f"{refused_url}/v1")
    also_off = ModelEntry(provider="openai_compatible", model="also", base_url=f"{refused_url}/v1")
    async with HttpClient() as client:
        problems = await EngineRegistry(catalog(off=off, also=also_off), client).problems()
    assert len(problems) == 1
    assert "'off'" in problems[0]
