"""The words by which texts are found, alike on every database: folded, in any script, with no language assumed."""

from __future__ import annotations

import re
import unicodedata

from microservices.assistants.store.chunk_search import QueryWord

#: A question is searched by so many of its words.
MAX_QUERY_WORDS = 32
_MAX_WORD_LENGTH = 64
#: A stem is no shorter than this: `rat` is not to find `rating`.
_MIN_STEM = 4

#: Accents of alphabets, points of Hebrew and Arabic: readers leave them out.
_ACCENTS = re.compile("[\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u0640\u064b-\u065f\u0670]+")
_LETTERS = str.maketrans({"ø": "o", "đ": "d", "ł": "l", "ħ": "h", "\u0131": "i", "æ": "ae", "œ": "oe"})
#: Scripts that are written without spaces: Chinese, Japanese, Thai, Lao, Burmese, Khmer.
_UNSPACED = "\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff"
#: Scripts of India, whose vowel signs are no letters to `re`.
_WITH_SIGNS = "\u0900-\u0963\u0966-\u0dff"
_RUN = re.compile(f"(?P<unspaced>[{_UNSPACED}]+)|(?:[^\\W_{_UNSPACED}]|[{_WITH_SIGNS}])+")


def words_of(text: str) -> list[str]:
    """Return the words of a text in their order, folded; scripts without spaces give each two neighbours as a word."""
    words: list[str] = []
    for run in _RUN.finditer(_folded(text)):
        if run["unspaced"] and len(run[0]) > 1:
            words.extend(map("".join, zip(run[0], run[0][1:], strict=False)))
        else:
            words.append(run[0][:_MAX_WORD_LENGTH])
    return words


def query_words(question: str) -> list[QueryWord]:
    """Return the words that a question searches by, each once; of a long one the first."""
    different = list(dict.fromkeys(words_of(question)))[:MAX_QUERY_WORDS]
    return [QueryWord(word, _stem(word)) for word in different]


def coverage(words: list[QueryWord], text_words: str) -> float:
    """Return which part of a question's words, 0.0 to 1.0, is in a text.

    Args:
        words: The question's.
        text_words: Those of the text, a space between them.
    """
    there = f" {text_words} "
    met = sum((f" {word.text} " if word.stem is None else f" {word.stem}") in there for word in words)
    return met / len(words) if words else 0.0


def _folded(text: str) -> str:
    parted = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFC", _ACCENTS.sub("", parted)).casefold().translate(_LETTERS)


def _stem(word: str) -> str | None:
    """Return what a word's other forms are likely to begin with, in languages that change the end of words.

    Cutting off the end finds about what stemmers of European languages find: McNamee and Mayfield, "Character N-Gram
    Tokenization for European Language Text Retrieval", Information Retrieval 7, 2004.
    """
    if re.match(f"[{_UNSPACED}]", word):
        return word if len(word) == 1 else None
    if len(word) < _MIN_STEM or not word.isalpha():
        return None
    cut = {4: 0, 5: 1, 6: 2}.get(len(word), 3)
    return word[: len(word) - cut]
