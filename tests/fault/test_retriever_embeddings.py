"""What becomes of a question when the embeddings service is away, slow, wrong, or another one than yesterday."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.retriever import EMBEDDING_MODEL, embeddings, retriever_with, vector_of, write_documents
from tests.support.scripted_upstream import Reply, Script


async def _answer(retriever: httpx.AsyncClient, text: str = "ships in the harbour", **more: Any) -> dict[str, Any]:
    response = await retriever.post("/v1/retrieval", json={"text": text, **more})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def _ids(answer: dict[str, Any]) -> list[str]:
    return [document["id"] for document in answer["retrieved_docs"]]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (scripts.openai_error(500), "answered 500"),
        (scripts.openai_error(401), "answered 401"),
        (scripts.openai_error(404, "model 'm' not found", "model_not_found"), "not found"),
        (scripts.openai_error(400, "this model has no embeddings"), "no embeddings"),
        (scripts.broken_json(), "broken JSON"),
        (scripts.answer(200, {"data": [{"index": 0, "embedding": "text"}]}), "no list of embeddings"),
        (scripts.answer(200, {"data": []}), "0 vectors for 3 texts"),
        (scripts.answer(200, {"data": [{"index": 0, "embedding": []}]}), "1 vectors for 3 texts"),
        (scripts.close_without_answer(), "closed the connection"),
    ],
    ids=["500", "401", "unknown-model", "none", "broken", "nonsense", "empty", "too-few", "cut"],
)
async def test_full_text_answers_when_embeddings_cannot_be_had(
    script: Script, words: str, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """And the answer says so, naming the service and what it said."""
    service = await scripted_upstream(script)
    async with retriever_with(write_documents(tmp_path), service.url) as retriever:
        answer = await _answer(retriever)
        assert (await retriever.get("/ready")).status_code == 200
    assert _ids(answer) == ["ships.md#1"]
    assert answer["retrieval"]["mode"] == "full_text"
    notice = answer["retrieval"]["notice"]
    assert notice["code"] == "embeddings_missing"
    assert notice["message"].startswith("Found by full text alone: the embeddings service at http://127.0.0.1:")
    assert words in notice["message"]


async def test_dead_embeddings_service_is_not_asked_by_every_question(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """One failure counts for some seconds; so the others are answered at once."""
    service = await scripted_upstream(scripts.openai_error(500))
    async with retriever_with(write_documents(tmp_path), service.url) as retriever:
        for _ in range(5):
            assert (await _answer(retriever))["retrieval"]["mode"] == "full_text"
    assert len(service.requests) == 1


async def test_embeddings_that_stall_hold_a_question_up_for_the_time_that_is_set_only(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """The task goes on meanwhile, and ends with the service."""
    service = await scripted_upstream(scripts.silence())
    async with retriever_with(write_documents(tmp_path), service.url, embedding_wait_seconds=0.2) as retriever:
        started = time.monotonic()
        answer = await _answer(retriever)
        again = await _answer(retriever)
        assert time.monotonic() - started < 5
    assert (answer["retrieval"]["mode"], _ids(answer)) == ("full_text", ["ships.md#1"])
    assert "still being embedded" in again["retrieval"]["notice"]["message"]


async def test_embeddings_that_come_back_are_used_without_a_restart(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """A service that refuses the first call, as one that loads its model."""
    service = await scripted_upstream(
        scripts.openai_error(400, "not yet"), scripts.openai_error(400, "not yet"), embeddings()
    )
    async with retriever_with(write_documents(tmp_path), service.url) as retriever:
        await _answer(retriever, "kitten")
        answer = await _answer(retriever, "kitten")
    assert (answer["retrieval"], _ids(answer)[0]) == ({"mode": "hybrid"}, "cats.md#1")


async def test_passages_that_are_too_long_are_embedded_by_their_beginning(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """The model's limit is not known beforehand; a long passage must not keep the others from being found."""
    folder = write_documents(tmp_path)
    (folder / "long.md").write_text("The boat. " + "Many other words follow here. " * 20, "utf-8")
    service = await scripted_upstream(embeddings(max_chars=100))
    async with retriever_with(folder, service.url) as retriever:
        answer = await _answer(retriever, "a boat", k=1)
    assert (answer["retrieval"], _ids(answer)) == ({"mode": "hybrid"}, ["long.md#1"])


@pytest.mark.parametrize("more", [{}, {"length": 5}], ids=["another-name", "another-length"])
async def test_passages_are_embedded_again_when_the_model_changes(
    more: dict[str, int], scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Vectors of two models cannot be compared, whether they differ in length or in name alone."""
    folder, data = write_documents(tmp_path / "documents"), tmp_path / "data"
    before = await scripted_upstream(embeddings())
    async with retriever_with(folder, before.url, data_dir=data) as retriever:
        await _answer(retriever, "kitten")
    after = await scripted_upstream(embeddings("newer" if not more else EMBEDDING_MODEL, **more))
    async with retriever_with(folder, after.url, data_dir=data) as retriever:
        answer = await _answer(retriever, "kitten", model="newer", embedding=vector_of("ship")) if not more else None
        answer = answer or await _answer(retriever, "kitten")
        again = await _answer(retriever, "kitten")
    assert [(given["retrieval"], _ids(given)[0]) for given in (answer, again)] == [
        ({"mode": "hybrid"}, "cats.md#1")
    ] * 2
    sizes = [len(request.json["input"]) for request in after.requests]
    assert sizes == [1, 3, 1], "the question, all passages again, the next question"


async def test_vector_of_another_model_is_not_compared(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """A question whose vector is of another length or name gets one of the passages' model."""
    service = await scripted_upstream(embeddings())
    async with retriever_with(write_documents(tmp_path), service.url) as retriever:
        longer = await _answer(retriever, "kitten", embedding=[0.5, 0.5])
        named = await _answer(retriever, "kitten", embedding=vector_of("ship"), model="another")
    assert [_ids(answer)[0] for answer in (longer, named)] == ["cats.md#1"] * 2


async def test_service_that_changes_its_model_by_turns_is_named(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Else each batch would drop the other's vectors for ever."""
    folder = write_documents(tmp_path)
    (folder / "many.md").write_text("\n\n".join(f"# Part {number}\n\n{'word ' * 100}" for number in range(60)), "utf-8")
    service = await scripted_upstream(*(embeddings(name) for name in ("one", "two") * 9))
    async with retriever_with(folder, service.url) as retriever:
        answer = await _answer(retriever)
    assert "by turns as 'one' and 'two'" in answer["retrieval"]["notice"]["message"]
    assert _ids(answer)[0] == "ships.md#1"


async def test_questions_at_the_same_time_have_passages_embedded_once(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """They wait for one task."""
    service = await scripted_upstream(embeddings())
    async with retriever_with(write_documents(tmp_path), service.url) as retriever:
        answers = await asyncio.gather(*(_answer(retriever, embedding=vector_of("ship")) for _ in range(8)))
    assert {answer["retrieval"]["mode"] for answer in answers} == {"hybrid"}
    assert len(service.requests) == 1


async def test_client_that_leaves_does_not_stop_the_embedding_of_passages(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """The next question finds them; the retriever ends without a task left behind."""
    gate = asyncio.Event()

    async def slow(reply: Reply) -> None:
        await gate.wait()
        await embeddings()(reply)

    service = await scripted_upstream(slow)
    async with retriever_with(write_documents(tmp_path), service.url) as retriever:
        with pytest.raises(httpx.ReadTimeout):
            await retriever.post("/v1/retrieval", json={"text": "ship"}, timeout=0.3)
        gate.set()
        answer = await _answer(retriever, "kitten", embedding=vector_of("kitten"))
    assert (answer["retrieval"]["mode"], len(service.requests)) == ("hybrid", 1)
