"""The text of one file, with its pages."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

#: Between two pages, so that a word at a page's end and one at the next page's start stay two.
_PAGE_BREAK = "\n\n"


@dataclass(frozen=True, slots=True)
class Document:
    """A file's whole text.

    Attributes:
        name: The file's name.
        text: All of it; offsets of chunks count its characters.
        page_starts: The offset at which each page begins, the first is 0; empty for files that have no pages.
    """

    name: str
    text: str
    page_starts: tuple[int, ...] = ()

    @classmethod
    def from_pages(cls, name: str, pages: Iterable[str]) -> Document:
        """Return the document that has these pages, one after the other."""
        starts: list[int] = []
        parts: list[str] = []
        length = 0
        for page in pages:
            starts.append(length)
            parts.append(page)
            length += len(page) + len(_PAGE_BREAK)
        return cls(name, _PAGE_BREAK.join(parts), tuple(starts))

    def page_at(self, offset: int) -> int | None:
        """Return the number of the page, from 1, on which a character stands; None where there are no pages."""
        return bisect_right(self.page_starts, offset) if self.page_starts else None
