"""From files to passages in the store: read, cut, kept; files that cannot be read are refused by name."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from microservices.retriever.passages import FOLDER, UPLOAD, NewDocument, StoredDocument
from microservices.retriever.store import Store
from servicekit.documents.chunking import ChunkingStrategy, chunked
from servicekit.documents.reading import text_of
from servicekit.errors import InvalidRequestError

_log = logging.getLogger(__name__)


class File(NamedTuple):
    """A file that is to be ingested."""

    name: str
    data: bytes


class Library:
    """Every method blocks and may compute for long: call it in a thread.

    Args:
        store: Keeps the passages.
        strategy: How documents are cut.
    """

    def __init__(self, store: Store, strategy: ChunkingStrategy) -> None:
        self._store = store
        self._strategy = strategy

    def ingest(self, files: Sequence[File]) -> list[StoredDocument]:
        """Keep files, all or none of them; those of the same names are replaced.

        Raises:
            InvalidRequestError: One of them cannot be read, or there is no room for all.
        """
        documents = {file.name: self._document(file, UPLOAD) for file in files}
        self._store.put(documents.values())
        return [
            StoredDocument(name, document.digest, document.origin, len(document.chunks))
            for name, document in documents.items()
        ]

    def documents(self) -> list[StoredDocument]:
        """Return every document, by name."""
        return self._store.documents()

    def delete(self, name: str | None) -> int:
        """Delete a document, or with None all of them; returns how many there were.

        One of the folder comes back with the next start, if its file is still there.
        """
        names = [document.name for document in self._store.documents()] if name is None else [name]
        return self._store.delete(names)

    def read_folder(self, folder: Path) -> None:
        """Keep what is new or changed in a folder, and forget what has left it; what cannot be read is logged.

        A document that was ingested otherwise keeps its name: the folder's file of that name is left out.
        """
        known = {document.name: document for document in self._store.documents()}
        uploaded = {name for name, document in known.items() if document.origin == UPLOAD}
        there: set[str] = set()
        for path in _files_below(folder):
            name = path.relative_to(folder).as_posix()
            if name not in uploaded:
                there.add(name)
                self._read(path, name, known.get(name))
        gone = [name for name, document in known.items() if document.origin == FOLDER and name not in there]
        self._store.delete(gone)

    def _read(self, path: Path, name: str, known: StoredDocument | None) -> None:
        try:
            data = path.read_bytes()
            if known is None or known.digest != _digest(data, self._strategy):
                self._store.put([self._document(File(name, data), FOLDER)])
        except (OSError, InvalidRequestError) as exc:
            _log.warning("%s was left out: %s", path, exc)

    def _document(self, file: File, origin: str) -> NewDocument:
        chunks = chunked(text_of(file.data, file.name), self._strategy)
        return NewDocument(file.name, _digest(file.data, self._strategy), origin, chunks)


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and of those in it, in a stable order; hidden ones are left out."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place) / name for name in sorted(names) if not name.startswith("."))


def _digest(data: bytes, strategy: ChunkingStrategy) -> str:
    """Return what tells whether a document is the same: its bytes, and how it is cut."""
    return hashlib.sha256(repr(strategy).encode() + data).hexdigest()
