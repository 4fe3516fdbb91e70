"""What the retriever keeps: documents, and the passages that they were cut into."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from servicekit.documents.chunking import Chunk

#: Where documents came from: those of the folder go when their file goes.
FOLDER, UPLOAD = "folder", "upload"


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document on its way into the store.

    Attributes:
        name: The file's name; a document of the same name is replaced.
        digest: Of the file's bytes; tells whether it changed.
        origin: `FOLDER` or `UPLOAD`.
        chunks: Its passages, in order.
    """

    name: str
    digest: str
    origin: str
    chunks: Sequence[Chunk]


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document in the store.

    Attributes:
        name: The file's name.
        digest: Of the file's bytes.
        origin: `FOLDER` or `UPLOAD`.
        passage_count: Into how many passages it was cut.
    """

    name: str
    digest: str
    origin: str
    passage_count: int


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage in the store.

    Attributes:
        key: The store's own number.
        name: The document's name.
        position: Its number in the document, from 1.
        text: A stretch of the document.
        start: Offset of its first character there.
        end: Offset behind its last one.
        page: The page on which it begins; None where the document has no pages.
    """

    key: int
    name: str
    position: int
    text: str
    start: int
    end: int
    page: int | None

    @property
    def reference(self) -> str:
        """What answers call it: `<name>#<position>`."""
        return f"{self.name}#{self.position}"

    def to_json(self) -> dict[str, Any]:
        """Return OPEA's TextDoc: `id`, `text`, and where it stands as `metadata`."""
        where: dict[str, Any] = {"name": self.name, "start": self.start, "end": self.end}
        if self.page is not None:
            where["page"] = self.page
        return {"id": self.reference, "text": self.text, "metadata": where}


@dataclass(frozen=True, slots=True)
class Vectors:
    """The vectors of the passages that have one; all were made by one model.

    Attributes:
        model: Which one; "" while there are none.
        by_key: Unit vectors, by the passages' numbers.
    """

    model: str
    by_key: dict[int, array[float]]

    @property
    def length(self) -> int | None:
        """How many numbers a vector has; None while there are none."""
        return len(next(iter(self.by_key.values()))) if self.by_key else None

    def fit(self, vector: Sequence[float], model: str | None) -> bool:
        """Return whether a vector can be compared with these: as long, and not known to be another model's."""
        return len(vector) == self.length and model in (None, self.model)
