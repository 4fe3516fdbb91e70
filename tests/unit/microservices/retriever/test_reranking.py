"""How passages are ordered by the words of a question."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservices.retriever.reranking import word_scores

_TEXTS = st.lists(st.lists(st.sampled_from(["port", "ports", "gateway", "the"]), max_size=8).map(" ".join), max_size=6)


def _best(question: str, *texts: str) -> str:
    scores = word_scores(question, texts)
    return texts[max(range(len(texts)), key=scores.__getitem__)]


def test_words_in_common_are_better_than_none() -> None:
    """Also in another form, and nothing in common is nothing."""
    assert _best("Which ports are there?", "The gateway.", "Its port is 8000.") == "Its port is 8000."
    assert word_scores("Which ports?", ["The gateway."]) == [0.0]


def test_rare_words_count_more_than_frequent_ones() -> None:
    """What every passage has tells nothing."""
    texts = ("gateway port", "gateway retriever", "gateway port")
    assert _best("gateway retriever port", *texts) == "gateway retriever"


def test_short_passages_are_better_than_long_ones_with_the_same_words() -> None:
    """They are about it."""
    long = "port " + "and many other things " * 20
    assert _best("port", long, "The port is this.") == "The port is this."


@pytest.mark.parametrize("question", ["?", "zebra"])
def test_question_without_any_word_in_them_scores_nothing(question: str) -> None:
    """No division by zero."""
    assert word_scores(question, ["one", "two"]) == [0.0, 0.0]
    assert word_scores(question, []) == []


@given(_TEXTS)
def test_scores_lie_between_0_and_1(texts: list[str]) -> None:
    """Whatever the passages are."""
    assert all(0 <= score < 1 for score in word_scores("the gateway's port", texts))
