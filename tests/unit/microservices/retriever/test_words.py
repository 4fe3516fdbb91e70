"""Which words of a question count, and which are the same."""

from __future__ import annotations

import pytest

from microservices.retriever.words import stems, telling_words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is a megaservice?", ["megaservice"]),
        ("Which port does the retriever listen on?", ["port", "retriever", "listen"]),
        ("What is it?", ["what", "is", "it"]),
        ('port" OR 1=1 --', ["port", "1"]),
        ("Perché È BLU?", ["perché", "è", "blu"]),
        ("?!", []),
    ],
)
def test_telling_words_are_those_that_say_what_it_is_about(text: str, expected: list[str]) -> None:
    """Letters and digits alone, so that nothing of a question is an operator of the full-text search."""
    assert telling_words(text) == expected


def test_telling_words_are_no_more_than_a_search_can_bear() -> None:
    """A whole book as a question is cut."""
    assert len(telling_words(" ".join(f"word{number}" for number in range(1_000)))) == 64


@pytest.mark.parametrize(
    ("word", "other"), [("ports", "port"), ("services", "service"), ("queries", "query"), ("listening", "listen")]
)
def test_stems_make_the_forms_of_a_word_one(word: str, other: str) -> None:
    """Plurals and verbs' endings; short words stay whole."""
    assert stems(word) == stems(other)
    assert stems("is as") == ["is", "as"]
