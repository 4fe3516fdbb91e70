"""Cuts a document into pieces that are embedded and found one by one.

A chunk is a stretch of the text itself, so its offsets say where it stands. It begins and ends between words; where
there is a choice it ends before a heading, else behind a paragraph, before a list's item, behind a sentence or a line.
"""

from __future__ import annotations

from dataclasses import dataclass

from servicekit.documents.breaks import SENTENCE, Words, words_of
from servicekit.documents.document import Document
from servicekit.errors import InvalidRequestError

#: OpenAI's rule of thumb, in bytes so that a text in Chinese does not count for a quarter of what it is.
#: https://help.openai.com/en/articles/4936856-what-are-tokens-and-how-to-count-them
BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class ChunkingStrategy:
    """OpenAI's `static` chunking strategy, with its defaults.

    https://platform.openai.com/docs/api-reference/vector-stores-files/createFile

    Attributes:
        max_chunk_size_tokens: No chunk is larger; tokens are estimated, four bytes each.
        chunk_overlap_tokens: How much of a chunk's end the next one repeats, at most half of a chunk.

    Raises:
        InvalidRequestError: A size below 1, or an overlap that is negative or more than half of the size.
    """

    max_chunk_size_tokens: int = 800
    chunk_overlap_tokens: int = 400

    def __post_init__(self) -> None:
        size, overlap = self.max_chunk_size_tokens, self.chunk_overlap_tokens
        if size < 1:
            message = f"max_chunk_size_tokens: expected at least 1, found {size}."
            raise InvalidRequestError(message, param="max_chunk_size_tokens")
        if not 0 <= overlap <= size // 2:
            message = (
                f"chunk_overlap_tokens: expected 0 to {size // 2} (half of max_chunk_size_tokens), found {overlap}."
            )
            raise InvalidRequestError(message, param="chunk_overlap_tokens")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of a document.

    Attributes:
        text: `document.text[start:end]`; no white space at its ends.
        start: Offset of its first character.
        end: Offset behind its last one.
        page: The page on which it begins, from 1; None where the document has no pages.
    """

    text: str
    start: int
    end: int
    page: int | None = None


def estimated_tokens(text: str) -> int:
    """Return about how many tokens a text has."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


_DEFAULT_STRATEGY = ChunkingStrategy()


def chunked(document: Document, strategy: ChunkingStrategy = _DEFAULT_STRATEGY) -> list[Chunk]:
    """Return the chunks of a document, in order; both their starts and their ends increase.

    Every word is in at least one of them, and none is cut in two unless it alone is larger than a chunk. Takes about a
    second for a million words: call it in a thread for texts of unknown size.
    """
    words = words_of(document.text, strategy.max_chunk_size_tokens * BYTES_PER_TOKEN)
    chunks: list[Chunk] = []
    for first, stop in _spans(words, strategy):
        start, end = words.starts[first], words.ends[stop - 1]
        chunks.append(Chunk(document.text[start:end], start, end, document.page_at(start)))
    return chunks


def _spans(words: Words, strategy: ChunkingStrategy) -> list[tuple[int, int]]:
    """Return the chunks as ranges of words."""
    size = strategy.max_chunk_size_tokens * BYTES_PER_TOKEN
    overlap = strategy.chunk_overlap_tokens * BYTES_PER_TOKEN
    spans: list[tuple[int, int]] = []
    first = covered = 0
    while covered < len(words.starts):
        limit = words.fitting(first, size)
        if limit <= covered:  # what is repeated leaves no room for the next word
            first = covered
            continue
        # Not so short that the next chunk, with what it repeats of this one, would hold all of it again.
        least = max(covered + 1, words.fitting(first, (size + overlap) // 2))
        stop = limit if limit == len(words.starts) else words.best_break(min(least, limit), limit)
        spans.append((first, stop))
        first, covered = max(first + 1, _overlap_start(words, stop, overlap)), stop
    return spans


def _overlap_start(words: Words, stop: int, overlap: int) -> int:
    """Return the word with which the chunk after `stop` begins: a sentence's first one, if that is not too far."""
    earliest = words.reaching(stop, overlap)
    latest = words.reaching(stop, overlap // 2)
    return next((index for index in range(earliest, latest) if words.ranks[index] >= SENTENCE), earliest)
