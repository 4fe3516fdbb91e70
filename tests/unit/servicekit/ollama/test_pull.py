"""`/api/pull` of embedded models, which are files; an Ollama behind is tested with its client library."""

from __future__ import annotations

from pathlib import Path

import pytest

from servicekit.context import CallContext
from servicekit.engines.registry import EngineRegistry
from servicekit.errors import ModelNotFoundError, NotFoundError
from servicekit.http.client import HttpClient
from servicekit.models import Deployment, ModelCatalog, ModelEntry, ModelGroup, ModelsFile
from servicekit.ollama.pull import pull

CONTEXT = CallContext("req_test")
BOOK = Deployment(provider="embedded", model="phrasebook")
MISSING = Deployment(provider="embedded", model="my/missing.gguf")


async def pulled(name: str, alias: ModelEntry | ModelGroup) -> list[dict[str, object]]:
    """Return the lines of pulling a name where that alias is called `a`."""
    client = HttpClient()
    registry = EngineRegistry(ModelCatalog(ModelsFile(aliases={"a": alias}), Path("/srv")), client)
    return [line async for line in pull(registry, client, name, CONTEXT)]


@pytest.mark.parametrize("name", ["a", "phrasebook"])
async def test_a_file_that_is_there_is_success(name: str) -> None:
    """Nothing is fetched: it came with the project, or its owner put it there."""
    assert await pulled(name, ModelGroup(deployments=(BOOK,))) == [{"status": "success"}]


async def test_a_file_that_is_missing_is_one_clear_error() -> None:
    """Also as the second of several deployments; the name is told, the path is not."""
    with pytest.raises(NotFoundError, match=r"'missing' \(missing\.gguf\) is not there") as caught:
        await pulled("a", ModelGroup(deployments=(BOOK, MISSING)))
    assert "/srv" not in caught.value.message


async def test_a_provider_s_model_needs_no_fetching() -> None:
    """It is there already, at the provider."""
    assert await pulled("a", ModelEntry(provider="groq", model="llama-3")) == [{"status": "success"}]


async def test_an_unknown_name_without_an_ollama_lists_the_names() -> None:
    """There is nobody who could fetch it."""
    with pytest.raises(ModelNotFoundError, match="phrasebook, a"):
        await pulled("llama9", ModelGroup(deployments=(BOOK,)))
