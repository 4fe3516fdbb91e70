"""`/api/pull` of embedded models, which are files; an Ollama behind is tested with its client library."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from servicekit.context import CallContext
from servicekit.engines.registry import EngineRegistry
from servicekit.errors import InvalidRequestError, ModelNotFoundError, NotFoundError, UpstreamError
from servicekit.http.client import HttpClient
from servicekit.models import Deployment, ModelCatalog, ModelEntry, ModelGroup, ModelsFile
from servicekit.ollama.pull import pull
from tests.support.hub import Hub, reference, serving_hub

CONTEXT = CallContext("req_test")
BOOK = Deployment(provider="embedded", model="phrasebook")
MISSING = Deployment(provider="embedded", model="my/missing.gguf")


async def pulled(name: str, alias: ModelEntry | ModelGroup) -> list[dict[str, object]]:
    """Return the lines of pulling a name where that alias is called `a`."""
    async with HttpClient() as client:
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


async def test_a_model_of_hugging_face_is_fetched_with_ollama_s_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alias, or a name that models.json does not have, as Ollama's users write it."""
    content = b"GGUF" * 100_000
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    async with serving_hub(Hub(content)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        lines = await pulled("a", ModelEntry(provider="embedded", model=str(reference())))
        again = await pulled("a", ModelEntry(provider="embedded", model=str(reference())))
        other = await pulled("hf.co/maker/Tiny-GGUF:Q4_K_M", ModelGroup(deployments=(BOOK,)))
    digest = hashlib.sha256(content).hexdigest()
    assert lines[0] == {"status": "pulling manifest"}
    counts = {"total": len(content), "completed": len(content)}
    assert {"status": f"pulling {digest[:12]}", "digest": f"sha256:{digest}", **counts} in lines
    assert lines[-1] == other[-1] == {"status": "success"}
    assert again == [{"status": "pulling manifest"}, {"status": "success"}]
    assert "an alias of compose/models.json makes it answer" in str(other[-2]["status"])


async def test_a_hub_that_is_out_of_reach_is_one_clear_error(
    refused_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where to put a file that was fetched elsewhere."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", refused_url)
    with pytest.raises(UpstreamError, match=rf"cannot be reached .* put it at {tmp_path}/megaservice/models/maker"):
        await pulled("a", ModelEntry(provider="embedded", model=str(reference())))


async def test_a_name_of_hugging_face_that_is_none_is_refused() -> None:
    """The message has the shape of one."""
    with pytest.raises(InvalidRequestError, match="write hf:<owner>/<repository>/<file>"):
        await pulled("hf:typo", ModelGroup(deployments=(BOOK,)))
