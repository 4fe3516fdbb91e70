"""What file_search finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a file.

    Attributes:
        score: 0..1, higher is better.
        text: The piece, as it stands in the file.
    """

    file_id: str
    filename: str
    score: float
    text: str


class Search(Protocol):
    """Finds the passages of vector stores that a question is about."""

    async def find(
        self, owner: str, vector_store_ids: Sequence[str], question: str, limit: int, score_threshold: float = 0.0
    ) -> list[Passage]:
        """Return the best passages, best first; unknown or foreign vector stores are left out."""
