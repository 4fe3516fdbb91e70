"""Markup for alternatives."""

import random

import pytest

from microservices.llm.phrasebook.data import markup


def test_canonical_takes_the_first_alternatives() -> None:
    """The first alternative of every bracket is the canonical text, nested ones too."""
    assert markup.canonical("[Ciao|Salve [tutti|]], l~ amico") == "Ciao, l'amico"


@pytest.mark.parametrize("candidate", ["Ciao", "salve tutti!", "SALVE"])
def test_accepts_every_alternative_without_case_and_marks(candidate: str) -> None:
    """Any path through the alternatives is right, whatever its case and punctuation."""
    assert markup.accepts("[Ciao|Salve [tutti|]]!", candidate)


@pytest.mark.parametrize("candidate", ["Ciao tutti", "", "Salve tutto"])
def test_accepts_nothing_else(candidate: str) -> None:
    """What no path gives is not right."""
    assert not markup.accepts("[Ciao|Salve [tutti|]]!", candidate)


def test_sample_gives_only_accepted_texts() -> None:
    """Sampling and accepting agree."""
    rng = random.Random(1)
    text = "[Vorrei|Voglio] [un|] [caffè|tè [caldo|freddo]]"
    assert all(markup.accepts(text, markup.sample(text, rng)) for _ in range(50))


@pytest.mark.parametrize("text", ["[a|b", "a]", "[[a]"])
def test_parse_refuses_unbalanced_brackets(text: str) -> None:
    """A missing or stray bracket is an error, not another text."""
    with pytest.raises(markup.MarkupError):
        markup.parse(text)
