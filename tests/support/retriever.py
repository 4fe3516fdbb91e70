"""A retriever in the test's own loop, and an embeddings service that it asks.

The scripted embedding of a text counts its words about three things, so that meaning is a matter of arithmetic.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from microservices.retriever.app import create_app
from microservices.retriever.settings import IN_MEMORY, RetrieverSettings
from tests.support import scripts
from tests.support.scripted_upstream import Reply, Script
from tests.support.serving import serving

EMBEDDING_MODEL = "scripted-embedding"
#: Words that mean nearly the same have one place in the vector.
_MEANINGS = (("cat", "kitten", "pet"), ("ship", "harbour", "boat"), ("bread", "bakery", "flour"))
CATS = "# Cats\n\nA cat sleeps on the sofa."
SHIPS = "# Ships\n\nThe ship lies in the harbour."
BREAD = "# Bread\n\nThe bakery sells bread."
DOCUMENTS = {"cats.md": CATS, "ships.md": SHIPS, "bread.md": BREAD}


def vector_of(text: str) -> list[float]:
    """Return the scripted embedding of a text."""
    return [0.1 + sum(text.casefold().count(word) for word in words) for words in _MEANINGS]


def embeddings(model: str = EMBEDDING_MODEL, *, max_chars: int = 10_000, length: int = 3) -> Script:
    """Answer `/v1/embeddings`; a text over `max_chars` is a 400, and vectors may have more numbers."""

    async def script(reply: Reply) -> None:
        texts = reply.request.json["input"]
        if any(len(text) > max_chars for text in texts):
            await scripts.openai_error(400, "input is too large to process")(reply)
            return
        padding = [0.0] * (length - 3)
        data = [{"index": index, "embedding": [*vector_of(text), *padding]} for index, text in enumerate(texts)]
        await scripts.answer(200, {"object": "list", "model": model, "data": data[::-1]})(reply)

    return script


def write_documents(folder: Path) -> Path:
    """Write `DOCUMENTS` into a folder and return it."""
    folder.mkdir(exist_ok=True)
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text, "utf-8")
    return folder


@asynccontextmanager
async def retriever_with(
    folder: Path, embedding_url: str = "http://127.0.0.1:1/v1/embeddings", **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a retriever over a folder of documents, in memory unless told otherwise, and give a client for it."""
    values = {
        "documents_dir": folder,
        "data_dir": IN_MEMORY,
        "embedding_endpoint": embedding_url,
        "port": 1,
        **settings,
    }
    app = create_app(RetrieverSettings.model_validate(values))
    async with serving(app) as url, httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
        yield client
