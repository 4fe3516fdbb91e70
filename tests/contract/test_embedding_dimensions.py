"""`dimensions` of an embedded model that was trained for it, with the real llama.cpp."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from servicekit.context import CallContext
from servicekit.documents.ranking import unit_vector
from servicekit.engines.embedded import EmbeddedEngine
from servicekit.errors import InvalidRequestError
from servicekit.http.client import HttpClient
from servicekit.models import BUNDLED_MODELS

CONTEXT = CallContext("req_test")
SIZE = 8


@pytest_asyncio.fixture
async def engine(tmp_path: Path) -> AsyncIterator[EmbeddedEngine]:
    """Give an engine with a model whose profile says that its vectors may be cut."""
    path = tmp_path / "nested.gguf"
    await asyncio.to_thread(shutil.copy, BUNDLED_MODELS["phrasebook"], path)
    (tmp_path / "nested.profile.json").write_text('{"name": "nested", "matryoshka": true}')
    async with HttpClient() as client:
        made = EmbeddedEngine(path, client)
        await made.start()
        yield made
        await made.close()


async def test_embed_cuts_the_vectors_of_a_model_that_was_trained_for_it(engine: EmbeddedEngine) -> None:
    """To the first numbers, of length 1 again, in either encoding; more than there are is refused."""
    payload = {"input": ["Hello", "Bye"], "encoding_format": "float"}
    whole = [item["embedding"] for item in (await engine.embed(payload, CONTEXT))["data"]]
    answer = await engine.embed({**payload, "dimensions": SIZE}, CONTEXT)
    for item, vector in zip(answer["data"], whole, strict=True):
        assert item["embedding"] == pytest.approx(list(unit_vector(vector[:SIZE])))
    packed = await engine.embed({**payload, "dimensions": SIZE, "encoding_format": "base64"}, CONTEXT)
    assert [len(item["embedding"]) for item in packed["data"]] == [44, 44]  # 32 bytes as base64
    with pytest.raises(InvalidRequestError, match="Ask for at most as many"):
        await engine.embed({**payload, "dimensions": 100_000}, CONTEXT)
