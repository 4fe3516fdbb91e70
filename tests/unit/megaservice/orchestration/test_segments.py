"""Sentences in a stream: the same ones however the stream was cut."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megaservice.orchestration.segments import PieceSegmenter, Segmenter, SentenceSegmenter, segmenter_for
from megaservice.pipeline.spec import ConsumeMode


def _segments(segmenter: Segmenter, pieces: list[str]) -> list[str]:
    return [segment for piece in pieces for segment in segmenter.feed(piece)] + segmenter.end()


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Ciao! Come stai?", ["Ciao!", " Come stai?"]),
        ("It costs 3.14 euro. Good.", ["It costs 3.14 euro.", " Good."]),
        ('He said "No." Then he left.', ['He said "No."', " Then he left."]),
        ("Wait... what?", ["Wait...", " what?"]),
        ("no end", ["no end"]),
        ("\u4f60\u597d\u3002\u518d\u89c1\uff01", ["\u4f60\u597d\u3002", "\u518d\u89c1\uff01"]),
        ("", []),
    ],
)
def test_sentences_end_at_marks_before_white_space_or_at_full_width_ones(text: str, sentences: list[str]) -> None:
    """A full stop inside a number ends nothing; a closing quote belongs to its sentence."""
    assert _segments(SentenceSegmenter(), [text]) == sentences


@given(st.lists(st.text(alphabet='ab .?!"\u3002\uff01\n', max_size=6), max_size=12))
def test_sentences_do_not_depend_on_how_the_text_was_cut(pieces: list[str]) -> None:
    """Any cut gives the sentences of the whole text, and joined they are that text."""
    text = "".join(pieces)
    assert _segments(SentenceSegmenter(), pieces) == _segments(SentenceSegmenter(), [text])
    assert "".join(_segments(SentenceSegmenter(), pieces)) == text


def test_pieces_pass_as_they_come_without_empty_ones() -> None:
    """In stream mode each event's text is one segment."""
    assert _segments(PieceSegmenter(), ["Ci", "", "ao"]) == ["Ci", "ao"]


def test_segmenter_is_chosen_by_the_consume_mode() -> None:
    """`sentence` and `stream` have one each."""
    assert isinstance(segmenter_for(ConsumeMode.SENTENCE), SentenceSegmenter)
    assert isinstance(segmenter_for(ConsumeMode.STREAM), PieceSegmenter)


def test_sentences_of_a_text_without_any_cost_its_length() -> None:
    """A model that repeats one mark for ever must not block the event loop."""
    segmenter = SentenceSegmenter()
    started = time.process_time()
    for _ in range(20_000):
        assert segmenter.feed("!") == []
    assert segmenter.feed("." * 20_000) == []
    assert time.process_time() - started < 2.0
    assert len("".join(segmenter.end())) == 40_000
