"""The retriever's routes: OPEA's own classes take what it answers, and it takes what they send."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from comps import EmbedDoc, LLMParamsDoc, SearchedDoc
from comps.cores.proto.api_protocol import RerankingRequest, RerankingResponse, RetrievalRequest, RetrievalResponse
from comps.cores.proto.docarray import RerankedDoc

from tests.conftest import UpstreamFactory
from tests.support.pdf import pdf_of
from tests.support.retriever import CATS, EMBEDDING_MODEL, SHIPS, embeddings, retriever_with, vector_of, write_documents

RETRIEVAL, RERANKING = "/v1/retrieval", "/v1/reranking"
INGEST, GET, DELETE = "/v1/dataprep/ingest", "/v1/dataprep/get", "/v1/dataprep/delete"


async def _found(retriever: httpx.AsyncClient, text: str, **more: Any) -> list[str]:
    response = await retriever.post(RETRIEVAL, json={"text": text, **more})
    assert response.status_code == 200, response.text
    return [document["id"] for document in response.json()["retrieved_docs"]]


async def test_retrieval_takes_an_embed_doc_and_answers_a_searched_doc(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """OPEA's classes on both sides; the likest passage first, with where it stands."""
    service = await scripted_upstream(embeddings())
    question = EmbedDoc(text="Where does the kitten rest?", embedding=vector_of("kitten"), k=2)
    async with retriever_with(write_documents(tmp_path), service.url) as retriever:
        response = await retriever.post(RETRIEVAL, content=question.model_dump_json())
    answer = SearchedDoc.model_validate(response.json())
    assert next(document.text for document in answer.retrieved_docs) == CATS
    assert (len(answer.retrieved_docs), answer.initial_query) == (2, "Where does the kitten rest?")
    first = response.json()["retrieved_docs"][0]
    assert (first["id"], first["metadata"]) == ("cats.md#1", {"name": "cats.md", "start": 0, "end": len(CATS)})
    assert first["similarity"] == pytest.approx(1.0, abs=0.05)
    assert response.json()["retrieval"] == {"mode": "hybrid"}
    assert len(service.requests) == 1, "the question brought its vector, so only the passages were embedded"


async def test_retrieval_takes_the_newer_request_with_an_embeddings_answer_in_it(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """`input` is the question, and the vector may come as `/v1/embeddings` answered it."""
    service = await scripted_upstream(embeddings())
    vector = {"data": [{"index": 0, "embedding": vector_of("boat")}], "model": EMBEDDING_MODEL}
    question = RetrievalRequest.model_validate({"input": "a boat?", "embedding": vector, "k": 1})
    async with retriever_with(write_documents(tmp_path), service.url) as retriever:
        response = await retriever.post(RETRIEVAL, content=question.model_dump_json())
    answer = RetrievalResponse.model_validate(response.json())
    assert answer.retrieved_docs[0].metadata == {"name": "ships.md", "start": 0, "end": len(SHIPS)}


async def test_reranking_takes_what_the_retriever_answered(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """As it is; and its answer is OPEA's RerankedDoc, RerankingResponse and LLMParamsDoc."""
    service = await scripted_upstream(embeddings())
    async with retriever_with(write_documents(tmp_path), service.url) as retriever:
        found = (await retriever.post(RETRIEVAL, json={"text": "bread of the bakery", "top_n": 2})).json()
        response = await retriever.post(RERANKING, json=found)
        by_meaning = await retriever.post(
            RERANKING, json={**found, "initial_query": "kitten", "embedding": vector_of("kitten"), "top_n": 1}
        )
    document = response.json()
    reranked = RerankedDoc.model_validate(document)
    assert next(passage.id for passage in reranked.reranked_docs) == "bread.md#1"
    assert RerankingResponse.model_validate(document).reranked_docs[0].score == document["reranked_docs"][0]["score"]
    assert LLMParamsDoc.model_validate(document).documents == [passage.text for passage in reranked.reranked_docs]
    assert len(reranked.reranked_docs) == 2
    assert [passage["id"] for passage in by_meaning.json()["reranked_docs"]] == ["cats.md#1"]


async def test_reranking_takes_plain_texts(tmp_path: Path) -> None:
    """OPEA's RerankingRequest: texts that no index knows, by their words."""
    request = RerankingRequest(input="the ship", retrieved_docs=["A cat.", "A ship."], top_n=1)
    async with retriever_with(tmp_path) as retriever:
        answer = (await retriever.post(RERANKING, content=request.model_dump_json())).json()
        nothing = (await retriever.post(RERANKING, json={"initial_query": "x", "retrieved_docs": []})).json()
    assert [document["text"] for document in answer["reranked_docs"]] == ["A ship."]
    assert (nothing["reranked_docs"], nothing["documents"]) == ([], [])


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"k": 1}, ["cats.md#1"]),
        ({"search_type": "similarity_score_threshold", "score_threshold": 0.9}, ["cats.md#1"]),
        ({"search_type": "similarity_distance_threshold", "distance_threshold": 0.1}, ["cats.md#1"]),
        ({"search_type": "similarity_score_threshold", "score_threshold": 2.0}, []),
    ],
    ids=["k", "score", "distance", "none"],
)
async def test_retrieval_chooses_as_the_search_type_says(
    more: dict[str, Any], expected: list[str], scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """OPEA's search types, over the cosines."""
    service = await scripted_upstream(embeddings())
    async with retriever_with(write_documents(tmp_path), service.url) as retriever:
        assert await _found(retriever, "kitten", **more) == expected


async def test_retrieval_by_mmr_prefers_variety(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """Of two passages that say the same, the second gives way to another."""
    service = await scripted_upstream(embeddings())
    folder = write_documents(tmp_path)
    (folder / "cats2.md").write_text("# Cats again\n\nA cat sleeps.", "utf-8")
    async with retriever_with(folder, service.url) as retriever:
        assert set(await _found(retriever, "a cat sleeps", k=2)) == {"cats.md#1", "cats2.md#1"}
        various = await _found(retriever, "a cat sleeps", k=2, search_type="mmr", lambda_mult=0.3)
    assert len([name for name in various if name.startswith("cats")]) == 1


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (RETRIEVAL, b"", ["empty"]),
        (RETRIEVAL, b'{"text": "a",', ["not valid JSON"]),
        (RETRIEVAL, b"{}", ["text", "required"]),
        (RETRIEVAL, b'{"text": "  "}', ["text"]),
        (RETRIEVAL, b'{"text": "a", "k": 0}', ["k: expected"]),
        (RETRIEVAL, b'{"text": "a", "embedding": ["x"]}', ["embedding[0]"]),
        (RETRIEVAL, b'{"text": "a", "search_type": "fuzzy"}', ["search_type", "mmr"]),
        (RETRIEVAL, b'{"text": "a", "search_type": "similarity_distance_threshold"}', ["distance_threshold"]),
        (RETRIEVAL, b'{"text": "a", "constraints": {"a": 1}}', ["constraints", "not supported"]),
        (RERANKING, b'{"retrieved_docs": []}', ["initial_query", "required"]),
        (RERANKING, b'{"initial_query": "a", "retrieved_docs": null}', ["retrieved_docs"]),
        (RERANKING, b'{"initial_query": "a", "retrieved_docs": [3]}', ["retrieved_docs[0]"]),
        (INGEST, b'{"name": "a.md"}', ["text", "required"]),
        (INGEST, b'{"text": "a", "name": "a.docx"}', ["'a.docx'", ".docx", "Markdown"]),
        (INGEST, b'{"text": "a", "name": "/"}', ["'/'", "no file name"]),
        (DELETE, b"{}", ["file_path"]),
    ],
)
async def test_bad_request_is_a_400_that_names_the_place(
    path: str, body: bytes, words: list[str], tmp_path: Path
) -> None:
    """What was found, what was expected."""
    async with retriever_with(tmp_path) as retriever:
        response = await retriever.post(path, content=body)
    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (400, "invalid_request_error")
    assert [word for word in words if word not in error["message"]] == []


async def test_ingested_files_are_found_listed_replaced_and_deleted(tmp_path: Path) -> None:
    """A form with files, as OPEA's dataprep takes it; a PDF knows its page."""
    files = [("files", ("guide.pdf", pdf_of(["The first page.", "Zebras live here."]))), ("files", ("a.txt", b"Yaks."))]
    async with retriever_with(tmp_path) as retriever:
        response = await retriever.post(INGEST, files=files)
        assert (response.status_code, response.json()["status"]) == (200, 200)
        assert response.json()["documents"] == [{"name": "guide.pdf", "passages": 1}, {"name": "a.txt", "passages": 1}]
        found = (await retriever.post(RETRIEVAL, json={"text": "zebras"})).json()["retrieved_docs"]
        assert found[0]["metadata"] == {"name": "guide.pdf", "start": 0, "end": 34, "page": 1}
        await retriever.post(INGEST, files=[("files", ("a.txt", b"Only llamas."))])
        assert (await _found(retriever, "yaks"), await _found(retriever, "llamas")) == ([], ["a.txt#1"])
        listed = (await retriever.post(GET)).json()
        assert [(item["name"], item["type"]) for item in listed] == [("a.txt", "File"), ("guide.pdf", "File")]
        assert (await retriever.post(DELETE, json={"file_path": "guide.pdf"})).json() == {"status": True}
        missing = await retriever.post(DELETE, json={"file_path": "guide.pdf"})
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
        assert (await retriever.post(DELETE, json={"file_path": "all"})).json() == {"status": True}
        assert (await retriever.post(GET)).json() == []


async def test_ingested_texts_may_come_as_json(tmp_path: Path) -> None:
    """One with its name, or several."""
    several = {"documents": [{"text": "Yaks.", "name": "notes/yaks.md"}, {"text": "Zebras.", "name": "zebras.md"}]}
    async with retriever_with(tmp_path) as retriever:
        one = await retriever.post(INGEST, json={"text": "Llamas."})
        more = await retriever.post(INGEST, json=several)
        assert (one.status_code, more.status_code) == (200, 200)
        assert [item["name"] for item in (await retriever.post(GET)).json()] == ["text.md", "yaks.md", "zebras.md"]


@pytest.mark.parametrize(
    ("files", "data", "words"),
    [
        ([("files", ("a.md", b"Yaks.")), ("files", ("b.jpg", b"\xff"))], {}, ["'b.jpg'"]),
        ([("other", ("a.md", b"Yaks."))], {}, ["files", "curl -F"]),
        ([("files", ("a.md", b"Yaks."))], {"link_list": '["http://x"]'}, ["link_list", "not fetched"]),
    ],
    ids=["unreadable", "no-files", "links"],
)
async def test_ingest_refuses_a_form_as_a_whole(
    files: list[Any], data: dict[str, str], words: list[str], tmp_path: Path
) -> None:
    """One bad file keeps the others out: nobody has to find out which came through."""
    async with retriever_with(tmp_path) as retriever:
        response = await retriever.post(INGEST, files=files, data=data)
        assert (await retriever.post(GET)).json() == []
    assert response.status_code == 400
    assert [word for word in words if word not in response.json()["error"]["message"]] == []


async def test_ingest_refuses_a_broken_form(tmp_path: Path) -> None:
    """A form that never ends is the sender's fault."""
    head = {"content-type": "multipart/form-data; boundary=x"}
    async with retriever_with(tmp_path) as retriever:
        response = await retriever.post(INGEST, content=b"--y\r\nnonsense", headers=head)
    assert (response.status_code, response.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_folder_is_read_again_at_every_start(tmp_path: Path) -> None:
    """New and changed files come, removed ones go, what was ingested stays; what cannot be read is left out."""
    folder, data = write_documents(tmp_path / "documents"), tmp_path / "data"
    async with retriever_with(folder, data_dir=data) as retriever:
        await retriever.post(INGEST, json={"text": "Yaks.", "name": "yaks.md"})
    (folder / "cats.md").unlink()
    (folder / "ships.md").write_text("Now about zebras.", "utf-8")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    (folder / ".hidden.md").write_text("Hidden.", "utf-8")
    async with retriever_with(folder, data_dir=data) as retriever:
        listed = (await retriever.post(GET)).json()
        assert {item["name"]: item["origin"] for item in listed} == {
            "bread.md": "folder",
            "ships.md": "folder",
            "yaks.md": "upload",
        }
        assert await _found(retriever, "zebras") == ["ships.md#1"]


async def test_probes_and_docs_are_those_of_every_service(tmp_path: Path) -> None:
    """Ready without documents and without embeddings: full text needs neither; a key guards the rest."""
    async with retriever_with(tmp_path / "nothing", api_keys="right") as retriever:
        assert (await retriever.get("/ready")).status_code == 200
        assert (await retriever.get("/v1/health_check")).json()["Service Title"] == "retriever"
        assert (await retriever.post(RETRIEVAL, json={"text": "a"})).status_code == 401
        key = {"authorization": "Bearer right"}
        assert (await retriever.post(RETRIEVAL, json={"text": "a"}, headers=key)).status_code == 200
        paths = (await retriever.get("/openapi.json", headers=key)).json()["paths"]
    assert paths.keys() >= {RETRIEVAL, RERANKING, INGEST, GET, DELETE}
