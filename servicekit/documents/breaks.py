"""The words of a text, and how good a place to cut the text is before each one."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

#: How good a cut before a word is. Behind a heading it is worse than anywhere: a heading belongs to what follows.
AFTER_HEADING, WORD, LINE, SENTENCE, ITEM, PARAGRAPH, HEADING = range(-1, 6)

_WORD = re.compile(r"\S+")
_HEADING = re.compile(r" {0,3}#{1,6}\s")
_FENCE = re.compile(r" {0,3}(```|~~~)")
_ITEM = re.compile(r"\s*([-*+|>]|\d{1,9}[.)])\s")
_SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’»)\]*_]*$")  # noqa: RUF001 - full-width marks end sentences, too


@dataclass(slots=True)
class Words:
    """A text's words, as parallel lists.

    Attributes:
        starts: Offset of each word's first character.
        ends: Offset behind its last one.
        byte_starts: `starts`, counted in the bytes of the text's UTF-8 form.
        byte_ends: `ends`, counted so.
        ranks: How good a cut before the word is, `AFTER_HEADING` to `HEADING`.
    """

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    byte_starts: list[int] = field(default_factory=list)
    byte_ends: list[int] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)

    def add(self, start: int, word: str, byte_start: int, rank: int) -> None:
        """Add the next word."""
        self.starts.append(start)
        self.ends.append(start + len(word))
        self.byte_starts.append(byte_start)
        self.byte_ends.append(byte_start + _size(word))
        self.ranks.append(rank)

    def fitting(self, first: int, size_bytes: int) -> int:
        """Return the index behind the last word that fits into so many bytes from the word `first` on."""
        return bisect_right(self.byte_ends, self.byte_starts[first] + size_bytes)

    def reaching(self, stop: int, size_bytes: int) -> int:
        """Return the first word from which on so many bytes hold all up to the word before `stop`."""
        return min(stop, bisect_left(self.byte_starts, self.byte_ends[stop - 1] - size_bytes))

    def best_break(self, least: int, most: int) -> int:
        """Return the word in `least..most` before which a cut is best; of equally good ones the last."""
        return max(range(least, most + 1), key=lambda index: (self.ranks[index], index))


def words_of(text: str, max_bytes: int) -> Words:
    """Return the words of a text; a word of more than `max_bytes` bytes counts as several."""
    words = Words()
    offset = byte_offset = 0
    for start, rank in _ranked(text):
        match = _WORD.match(text, start)
        assert match is not None  # a word begins there  # noqa: S101
        byte_offset += _size(text[offset:start])
        offset = start
        for part in _parts(match.group(), max_bytes):
            words.add(offset, part, byte_offset, rank if offset == start else WORD)
            offset, byte_offset = words.ends[-1], words.byte_ends[-1]
    return words


def _ranked(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each word begins, and how good a cut before it is."""
    offset = 0
    before = HEADING
    in_fence = False
    for line in text.splitlines(keepends=True):
        is_heading = not in_fence and _HEADING.match(line) is not None
        rank = _rank_of_line(line, before, is_heading=is_heading)
        in_fence ^= _FENCE.match(line) is not None
        ends_sentence = False
        for match in _WORD.finditer(line):
            yield offset + match.start(), max(rank, SENTENCE) if ends_sentence and rank != AFTER_HEADING else rank
            ends_sentence = _SENTENCE_END.search(match.group()) is not None
            rank = AFTER_HEADING if is_heading else WORD
        before = _rank_behind(line, before, is_heading=is_heading, ends_sentence=ends_sentence)
        offset += len(line)


def _rank_of_line(line: str, before: int, *, is_heading: bool) -> int:
    if before == AFTER_HEADING:
        return AFTER_HEADING
    if is_heading:
        return HEADING
    return max(before, ITEM) if _ITEM.match(line) or _FENCE.match(line) else before


def _rank_behind(line: str, before: int, *, is_heading: bool, ends_sentence: bool) -> int:
    """Return what a line says of a cut before the next one."""
    if is_heading:
        return AFTER_HEADING
    if not line.strip():
        return before if before == AFTER_HEADING else PARAGRAPH
    return SENTENCE if ends_sentence else LINE


def _parts(word: str, max_bytes: int) -> Iterator[str]:
    """Yield the word, in parts of at most so many bytes; a character is never cut, however small the parts."""
    if len(word) * 4 <= max_bytes or _size(word) <= max_bytes:
        yield word
        return
    start = room = 0
    for index, character in enumerate(word):
        size = _size(character)
        if size > room and index > start:
            yield word[start:index]
            start = index
        if index == start:
            room = max_bytes
        room -= size
    yield word[start:]


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
