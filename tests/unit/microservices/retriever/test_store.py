"""The index in SQLite: documents, full text and vectors, over restarts and from several processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from microservices.retriever.passages import FOLDER, UPLOAD, NewDocument
from microservices.retriever.store import FILE_NAME, Store
from servicekit.documents.chunking import Chunk
from servicekit.documents.ranking import unit_vector
from servicekit.errors import ConfigurationError, InternalError, InvalidRequestError


def _document(name: str, *texts: str, origin: str = UPLOAD) -> NewDocument:
    return NewDocument(name, "digest", origin, [Chunk(text, 0, len(text), 2) for text in texts])


def _texts(store: Store, *words: str) -> list[str]:
    return [passage.text for passage in store.passages(store.full_text(words, 10))]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Give an empty store in a file."""
    store = Store(tmp_path / "data", max_passages=5)
    yield store
    store.close()


def test_full_text_finds_forms_of_a_word_the_best_passage_first(store: Store) -> None:
    """BM25: the passage that is more about it."""
    store.put([_document("a.md", "ports and many other words about this and that", "The port.", "Nothing.")])
    assert _texts(store, "ports") == ["The port.", "ports and many other words about this and that"]
    assert _texts(store) == []


def test_replaced_and_deleted_documents_are_found_no_more(store: Store) -> None:
    """Neither by words, nor by number, nor by vector."""
    store.put([_document("a.md", "old words"), _document("b.md", "old paper", origin=FOLDER)])
    store.add_vectors("m", [(key, unit_vector([1, 2]).tobytes()) for key, _ in store.without_vector(9)])
    store.put([_document("a.md", "new words")])
    assert store.delete(["b.md", "c.md"]) == 1
    assert _texts(store, "old", "new") == ["new words"]
    assert [(document.name, document.passage_count) for document in store.documents()] == [("a.md", 1)]
    assert store.vectors().by_key == {}
    (key,) = store.full_text(["new"], 1)
    assert store.keys_of(["a.md#1", "a.md#2", "b.md#1", "a.md", "#x"]) == {"a.md#1": key}


def test_too_many_passages_are_refused_and_nothing_of_them_kept(store: Store) -> None:
    """All documents or none."""
    with pytest.raises(InvalidRequestError, match="would have 6 passages; it keeps 5"):
        store.put([_document("a.md", "one"), _document("b.md", *"abcde")])
    assert store.documents() == []


def test_vectors_of_another_model_take_the_place_of_the_former(store: Store) -> None:
    """Those of two models cannot be compared."""
    store.put([_document("a.md", "one", "two")])
    first, second = (key for key, _ in store.without_vector(9))
    store.add_vectors("m", [(first, unit_vector([1, 2]).tobytes())])
    assert (store.vectors().model, store.vectors().length, len(store.without_vector(9))) == ("m", 2, 1)
    store.add_vectors("n", [(second, unit_vector([1, 2, 3]).tobytes())])
    assert (store.vectors().model, list(store.vectors().by_key)) == ("n", [second])
    store.forget_vectors()
    assert (store.vectors().model, store.vectors().length) == ("", None)


def test_store_keeps_everything_over_a_restart_and_sees_other_processes(store: Store, tmp_path: Path) -> None:
    """One file, two connections: what one writes the other reads, vectors that it had read before included."""
    store.put([_document("a.md", "one")])
    assert store.vectors().by_key == {}
    other = Store(tmp_path / "data", max_passages=5)
    ((key, _),) = other.without_vector(9)
    other.add_vectors("m", [(key, unit_vector([3, 4]).tobytes())])
    other.close()
    assert list(store.vectors().by_key[key]) == pytest.approx([0.6, 0.8])
    assert store.passages([key])[0].to_json() == {
        "id": "a.md#1",
        "text": "one",
        "metadata": {"name": "a.md", "start": 0, "end": 3, "page": 2},
    }


def test_file_that_is_no_index_stops_the_start(tmp_path: Path) -> None:
    """The message names the file, the variable and what to do."""
    (tmp_path / FILE_NAME).write_text("no database, but long enough to be looked at " * 30)
    with pytest.raises(ConfigurationError, match=r"RETRIEVER_DATA_DIR: .*retriever.sqlite3.*remove the file"):
        Store(tmp_path, max_passages=5)


def test_index_of_a_later_version_is_not_touched(store: Store, tmp_path: Path) -> None:
    """Going back to an older version must not damage it."""
    connection = sqlite3.connect(tmp_path / "data" / FILE_NAME)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ConfigurationError, match="version 99"):
        Store(tmp_path / "data", max_passages=5)


def test_index_that_fails_is_an_error_that_names_the_file(store: Store) -> None:
    """As when the disk is full."""
    store.close()
    with pytest.raises(InternalError, match=r"retriever\.sqlite3 cannot be used"):
        store.documents()
