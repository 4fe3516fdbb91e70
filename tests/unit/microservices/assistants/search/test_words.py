"""The words by which texts are found."""

from __future__ import annotations

import pytest

from microservices.assistants.search.words import MAX_QUERY_WORDS, coverage, query_words, words_of
from microservices.assistants.store.chunk_search import QueryWord, fts5_query, ts_query


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The CAT sat.", ["the", "cat", "sat"]),
        ("Perché no? Naïve façade", ["perche", "no", "naive", "facade"]),
        ("Straße Łódź søk", ["strasse", "lodz", "sok"]),
        ("snake_case GPT-4o 3.14", ["snake", "case", "gpt", "4o", "3", "14"]),
        ("ΑΘΗΝΑ Αθήνα", ["αθηνα", "αθηνα"]),
        ("ёлка", ["елка"]),
        ("한국어 문서", ["한국어", "문서"]),
        ("東京は", ["東京", "京は"]),
        ("木", ["木"]),
        ("हिन्दी पाठ", ["हिन्दी", "पाठ"]),
        ("سَلَام", ["سلام"]),
        ("ﬁne ２０", ["fine", "20"]),  # noqa: RUF001 - a ligature and full-width digits are the point
        ("... — 🦓 \0", []),
        ("x" * 100, ["x" * 64]),
    ],
)
def test_words_are_folded(text: str, words: list[str]) -> None:
    """Accents, capitals, ligatures and punctuation are gone; scripts without spaces become pairs."""
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("word", "stem"),
    [
        ("cat", None),
        ("cats", "cats"),
        ("files", "file"),
        ("refund", "refu"),
        ("translation", "translat"),
        ("gpt4o", None),
    ],
)
def test_stem_cuts_off_what_other_forms_change(word: str, stem: str | None) -> None:
    """Short words stand for themselves, long ones for what begins as they do."""
    assert query_words(word) == [QueryWord(word, stem)]


def test_query_has_each_word_once_and_not_too_many() -> None:
    """A page of text as a question becomes a query of a bounded size."""
    words = query_words(" ".join(f"word{number % 100} again" for number in range(1_000)))
    assert len(words) == len(set(words)) == MAX_QUERY_WORDS


@pytest.mark.parametrize(
    ("question", "text", "part"),
    [
        ("green tea", "tea is green", 1.0),
        ("green tea", "black tea", 0.5),
        ("teas", "tea", 0.0),
        ("refunds", "refund", 1.0),
    ],
)
def test_coverage_counts_words_that_a_text_has(question: str, text: str, part: float) -> None:
    """Other forms of a long word count as the word."""
    assert coverage(query_words(question), text) == part


def test_coverage_of_a_question_without_words_is_zero() -> None:
    """Nothing was asked, so nothing is covered."""
    assert coverage([], "text") == 0.0


def test_queries_quote_what_should_never_be_in_them() -> None:
    """Even if a word held quotes and operators, it would stay a word in both query languages."""
    word = QueryWord('a" OR *', None)
    assert '"a"" OR *"' in fts5_query(["vs_1"], [word])
    assert ts_query(QueryWord("a' | b\\", "a'")) == "('a'' | b' | 'a''':*)"
