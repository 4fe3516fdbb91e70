"""Fused rankings and compared vectors."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.documents.ranking import cosine, reciprocal_rank_fusion, unit_vector, vector_from_bytes
from servicekit.errors import InvalidRequestError

_RANKINGS = st.lists(st.lists(st.integers(0, 9), unique=True), max_size=4)
_VECTORS = st.lists(st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-6), min_size=4, max_size=4)


def test_fusion_of_equal_rankings_keeps_their_order() -> None:
    """The first place everywhere is 1.0."""
    assert reciprocal_rank_fusion([["a", "b"], ["a", "b"]]) == [("a", 1.0), ("b", pytest.approx(61 / 62))]


def test_fusion_prefers_what_several_rankings_know() -> None:
    """Second place twice is better than first place once."""
    fused = reciprocal_rank_fusion([["words", "both"], ["meaning", "both"]])
    assert [key for key, _ in fused] == ["both", "words", "meaning"]
    assert reciprocal_rank_fusion([]) == []


@given(_RANKINGS)
def test_fusion_has_every_key_once_best_first(rankings: list[list[int]]) -> None:
    """Scores fall, lie between 0 and 1, and nobody is lost."""
    fused = reciprocal_rank_fusion(rankings)
    scores = [score for _, score in fused]
    assert sorted(key for key, _ in fused) == sorted({key for ranking in rankings for key in ranking})
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)


@given(_VECTORS, _VECTORS)
def test_cosine_of_unit_vectors_is_that_of_the_vectors(first: list[float], second: list[float]) -> None:
    """As the formula has it, also after a way through a store's bytes; with nothing it is 0."""
    stored = vector_from_bytes(unit_vector(first).tobytes())
    lengths = math.hypot(*first) * math.hypot(*second)
    expected = sum(a * b for a, b in zip(first, second, strict=True)) / lengths if lengths else 0.0
    assert cosine(stored, unit_vector(second)) == pytest.approx(expected, abs=1e-5)


def test_cosine_of_vectors_of_different_models_is_an_error() -> None:
    """A number would mean nothing."""
    with pytest.raises(ValueError, match="2 numbers cannot be compared with one of 3"):
        cosine(unit_vector([1, 0]), unit_vector([1, 0, 0]))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_unit_vector_of_what_is_no_number_is_a_400(value: float) -> None:
    """Before it is stored and makes every search useless."""
    with pytest.raises(InvalidRequestError, match="finite"):
        unit_vector([value, value])
