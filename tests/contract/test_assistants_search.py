"""What a search of vector stores finds, by words and by meaning, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest

from microservices.assistants.search.service import DocumentSearch
from microservices.assistants.store import chunks
from microservices.assistants.store.database import Database
from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.file_search import EMBEDDING_MODEL, embeddings, sdk_client, store_of
from tests.support.network import refusing_url
from tests.support.scripted_upstream import Reply, Script

#: Where the database makes no difference, or another test asks both.
ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
_WAIT_SECONDS = 10.0


async def _names(client: openai.AsyncOpenAI, store: str, query: str, **options: Any) -> list[str]:
    return [found.filename for found in (await client.vector_stores.search(store, query=query, **options)).data]


async def test_search_finds_by_words_in_any_script(database: Database) -> None:
    """Other forms of a word, words without their accents, capitals, and a script without spaces."""
    async with sdk_client(database) as client:
        store = await store_of(client)
        assert await _names(client, store, "How do I get a refund as a customer?") == ["refunds.md"]
        assert (await _names(client, store, "Quanto costa il CAFFE in citta'?"))[0] == "città.txt"
        assert await _names(client, store, "日本の首都") == ["日本.txt"]
        assert await _names(client, store, "xylophone") == []


async def test_search_ranks_and_limits(database: Database) -> None:
    """More and rarer words of the question first; scores fall, from 0 to 1; limits and thresholds hold."""
    texts = {
        "both.txt": "The zebra met a giraffe.",
        "one.txt": "The giraffe was alone.",
        "none.txt": "The elephant slept.",
    }
    async with sdk_client(database) as client:
        store = await store_of(client, texts)
        found = (await client.vector_stores.search(store, query="the zebra and the giraffe")).data
        assert [item.filename for item in found][:2] == ["both.txt", "one.txt"]
        scores = [item.score for item in found]
        assert scores == sorted(scores, reverse=True)
        assert 0 < scores[-1] <= scores[0] <= 1
        assert await _names(client, store, "the zebra and the giraffe", max_num_results=1) == ["both.txt"]
        assert await _names(client, store, "giraffe", ranking_options={"score_threshold": 1.0}) != []
        weak = {"score_threshold": 0.9}
        assert await _names(client, store, "zebra crossing lights in our town centre", ranking_options=weak) == []


async def test_search_answers_several_questions(database: Database) -> None:
    """A list of queries finds what any of them is about."""
    async with sdk_client(database) as client:
        store = await store_of(client)
        answer = await client.vector_stores.search(store, query=["refund", "tides"])
        assert {found.filename for found in answer.data} == {"refunds.md", "moon.txt"}


async def test_search_filters_by_attributes(database: Database) -> None:
    """Comparisons and their combinations; a file without the attribute fulfils none but `ne`."""
    async with sdk_client(database) as client:
        store = await store_of(client, {f"{year}.txt": "the report" for year in (2022, 2023, 2024)})
        async for file in client.vector_stores.files.list(store):
            year = int((await client.files.retrieve(file.id)).filename[:4])
            await client.vector_stores.files.update(file.id, vector_store_id=store, attributes={"year": year})

        async def years(condition: dict[str, Any]) -> set[str]:
            return {name[:4] for name in await _names(client, store, "report", filters=condition)}

        late: dict[str, Any] = {"type": "gte", "key": "year", "value": 2023}
        assert await years(late) == {"2023", "2024"}
        assert await years({"type": "and", "filters": [late, {**late, "type": "ne"}]}) == {"2024"}
        assert await years({"type": "in", "key": "year", "value": [2022, 1999]}) == {"2022"}
        assert await years({"type": "eq", "key": "month", "value": 1}) == set()
        newest: Any = {**late, "type": "gt"}
        [item] = (await client.vector_stores.search(store, query="report", filters=newest)).data
        assert item.attributes == {"year": 2024}


@ON_SQLITE
@pytest.mark.parametrize(
    "question",
    [
        "",
        " ",
        '"',
        "' OR 1=1; --",
        "NEAR(a b) AND NOT *",
        "{x} : ^y -z",
        "\\ & | ! <-> :*",
        "a\tb\u2028c",
        "🦓",
        "x" * 5_000,
    ],
)
async def test_search_takes_any_question(question: str, database: Database) -> None:
    """Quotes, operators and rubbish are words, or nothing; never an error."""
    async with sdk_client(database) as client:
        store = await store_of(client, {"a.txt": "a zebra"})
        assert len((await client.vector_stores.search(store, query=question)).data) <= 1


async def test_find_leaves_out_foreign_and_unknown_vector_stores(database: Database) -> None:
    """A run's search looks into its owner's vector stores alone, and shows a text once."""
    async with sdk_client(database) as client:
        first, second = [await store_of(client, {"a.txt": "a zebra"}) for _ in range(2)]
        [file] = [file.id async for file in client.vector_stores.files.list(first)]
        await client.vector_stores.files.create_and_poll(file, vector_store_id=second)
    async with DocumentSearch(database) as search:
        stores = [first, second, "vs_unknown"]
        assert len(await search.find("", stores, "zebra", 10)) == 2
        assert await search.find("somebody else", stores, "zebra", 10) == []
        assert await search.find("", [], "zebra", 10) == []


def _vector(text: str) -> list[float]:
    """Return a vector that means animals, money or something else."""
    animals = any(word in text for word in ("zebra", "stripes", "animal"))
    money = any(word in text for word in ("coin", "wealth", "money"))
    return [3.0 * animals, 2.0 * money, 0.1]


_TEXTS = {"zebra.txt": "A zebra has stripes.", "coins.txt": "A coin is round.", "rest.txt": "Nothing of note."}


async def _until_embedded(database: Database) -> None:
    async with asyncio.timeout(_WAIT_SECONDS):
        while True:
            async with database.read() as connection:
                if not await chunks.without_vector(connection, EMBEDDING_MODEL, 1):
                    return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def _embedded(database: Database, url: str) -> AsyncIterator[tuple[openai.AsyncOpenAI, str]]:
    async with sdk_client(database, url) as client:
        store = await store_of(client, _TEXTS)
        await _until_embedded(database)
        yield client, store


async def test_search_finds_by_meaning_with_an_embedding_model(
    database: Database, scripted_upstream: UpstreamFactory
) -> None:
    """A question that shares no word with the text finds it; one that shares words and meaning is at the top."""
    upstream = await scripted_upstream(embeddings(_vector))
    async with _embedded(database, upstream.openai_url) as (client, store):
        assert (await _names(client, store, "wealth"))[0] == "coins.txt"
        found = (await client.vector_stores.search(store, query="which animal is a zebra")).data
        assert (found[0].filename, found[0].score) == ("zebra.txt", 1.0)
    assert {request.json["model"] for request in upstream.requests} == {EMBEDDING_MODEL}
    assert upstream.requests[0].path == "/v1/embeddings"


@ON_SQLITE
@pytest.mark.parametrize(
    "failing",
    [
        scripts.openai_error(503),
        scripts.broken_json(),
        scripts.answer(200, {"data": []}),
        scripts.answer(200, {"data": [{"index": 0, "embedding": ["x"]}]}),
        scripts.close_without_answer(),
    ],
    ids=["503", "broken-json", "no-vectors", "no-numbers", "closed"],
)
async def test_full_text_answers_alone_when_the_embedding_service_fails(
    failing: Script, database: Database, scripted_upstream: UpstreamFactory
) -> None:
    """Files are completed and found by their words, whatever the service answers; it is not asked for each search."""
    upstream = await scripted_upstream(failing)
    async with sdk_client(database, upstream.openai_url) as client:
        store = await store_of(client, _TEXTS)
        for _ in range(3):
            assert await _names(client, store, "zebra") == ["zebra.txt"]
    assert len(upstream.requests) <= 2


@ON_SQLITE
async def test_full_text_answers_alone_when_nobody_listens(database: Database) -> None:
    """An address that refuses connections delays neither the file nor the search."""
    with refusing_url() as url:
        async with sdk_client(database, url) as client:
            assert await _names(client, await store_of(client, _TEXTS), "zebra") == ["zebra.txt"]


async def test_vectors_are_made_when_the_embedding_service_is_there_at_last(
    database: Database, scripted_upstream: UpstreamFactory
) -> None:
    """Files of a time without an embedding model get their vectors at the next start."""
    async with sdk_client(database) as client:
        store = await store_of(client, _TEXTS)
    upstream = await scripted_upstream(embeddings(_vector))
    async with sdk_client(database, upstream.openai_url) as client:
        await _until_embedded(database)
        assert (await _names(client, store, "wealth"))[0] == "coins.txt"


@ON_SQLITE
async def test_chunk_that_the_model_refuses_is_found_by_its_words(
    database: Database, scripted_upstream: UpstreamFactory
) -> None:
    """One text that is too long for the model costs no other text its vector."""

    async def picky(reply: Reply) -> None:
        is_refused = any("coin" in text for text in reply.request.json["input"])
        await (scripts.openai_error(400) if is_refused else embeddings(_vector))(reply)

    upstream = await scripted_upstream(picky)
    async with _embedded(database, upstream.openai_url) as (client, store):
        assert "zebra.txt" in await _names(client, store, "animal")
        assert "coins.txt" in await _names(client, store, "coin")


@ON_SQLITE
async def test_model_that_refuses_everything_costs_no_text_its_vector(
    database: Database, scripted_upstream: UpstreamFactory
) -> None:
    """A wrong model name is no text's fault: once it is put right, every chunk gets its vector."""
    upstream = await scripted_upstream(scripts.openai_error(400))
    async with sdk_client(database, upstream.openai_url) as client:
        store = await store_of(client, _TEXTS)
        assert await _names(client, store, "zebra") == ["zebra.txt"]
        await upstream.wait_for_requests(3)
    right = await scripted_upstream(embeddings(_vector))
    async with sdk_client(database, right.openai_url) as client:
        await _until_embedded(database)
        assert (await _names(client, store, "wealth"))[0] == "coins.txt"
