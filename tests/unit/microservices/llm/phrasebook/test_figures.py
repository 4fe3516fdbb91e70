"""Shares and their intervals."""

import pytest

from microservices.llm.phrasebook.evaluation.figures import Figure, balanced, wilson


def test_wilson_interval_matches_published_values() -> None:
    """81 of 263 gives 25.5 % to 36.6 % (R. G. Newcombe, 1998, table I)."""
    low, high = wilson(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_wilson_interval_of_all_hits_stays_below_one() -> None:
    """A perfect score is not certainty."""
    low, high = wilson(100, 100)
    assert low == pytest.approx(0.963, abs=0.001)
    assert high == pytest.approx(1.0)


def test_figure_says_whether_it_reaches_its_target() -> None:
    """A figure that misses its target says so."""
    assert "reaches 98%" in str(Figure("exact", 99, 100, 0.98))
    assert "misses 98%" in str(Figure("exact", 97, 100, 0.98))


def test_balanced_accuracy_is_the_mean_of_both_shares() -> None:
    """Both sorts of cases weigh the same, whatever their number."""
    assert "75.00%" in balanced(Figure("right", 10, 10), Figure("wrong", 50, 100), "both", 0.95)
