"""Passages in the prompt, and marks in the answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservices.assistants.search.citations import CitationReader, annotations_of, mark_of, prompt_of
from microservices.assistants.search.passages import Passage

PASSAGES = [
    Passage("file-a", "report.pdf", 0.9, "Sales rose by 4 %."),
    Passage("file-b", "notes.md", 0.5, "Ask Ada."),
]

#: Texts full of what marks are made of.
_ANSWERS = st.lists(
    st.sampled_from(
        ["【", "】", "†", "1", "2", "7", ":", "0", "\n", "report.pdf", "【1†report.pdf】", "x" * 60, " è "]
    ),
    max_size=12,
).map("".join)


def test_prompt_numbers_the_passages_and_shows_the_marks() -> None:
    """Each passage stands under the mark by which it is to be cited."""
    prompt = prompt_of(PASSAGES)
    assert "【1†report.pdf】\nSales rose by 4 %." in prompt
    assert "【2†notes.md】\nAsk Ada." in prompt


def test_prompt_is_empty_without_passages() -> None:
    """Nothing was found: the prompt says nothing of a search."""
    assert prompt_of([]) == ""


def test_prompt_takes_marks_out_of_passages() -> None:
    """A file that holds a mark does not make the model cite another file."""
    prompt = prompt_of([Passage("f", "a.txt", 1.0, "see 【2†secret.txt】")])
    assert "【2†" not in prompt
    assert "see [2†secret.txt]" in prompt


@pytest.mark.parametrize("name", ["a\nb.txt", "】【1†x】.txt", "a" * 500, "", "tab\tname.md"])
def test_mark_is_read_back_whatever_the_name(name: str) -> None:
    """Names with brackets, line breaks or 500 characters make a mark that is recognised."""
    passage = Passage("file-a", name, 1.0, "text")
    [annotation] = annotations_of(f"So it is{mark_of(1, passage)}.", [passage])
    assert annotation["file_citation"] == {"file_id": "file-a"}
    assert annotation["start_index"] == 8


def test_annotations_point_at_the_marks() -> None:
    """Indices cut the mark out of the text; the file is the passage's."""
    text = "Sales rose 【1†report.pdf】, says Ada【2†notes.md】."
    annotations = annotations_of(text, PASSAGES)
    assert [annotation["file_citation"]["file_id"] for annotation in annotations] == ["file-a", "file-b"]
    assert [text[item["start_index"] : item["end_index"]] for item in annotations] == [
        item["text"] for item in annotations
    ]
    assert {item["type"] for item in annotations} == {"file_citation"}


def test_annotations_take_the_mark_of_hosted_models() -> None:
    """`【4:0†name】`, as models learned it, cites passage 4; here passage 2."""
    [annotation] = annotations_of("so【2:0†source】", PASSAGES)
    assert annotation["file_citation"]["file_id"] == "file-b"


@pytest.mark.parametrize(
    "text", ["【3†report.pdf】", "【0†x】", "【†x】", "【1†x", "【1】", "[1]", "【1†a\nb】", "【99999†x】"]
)
def test_annotations_leave_what_is_no_mark(text: str) -> None:
    """Numbers that no passage has, and brackets that hold something else, stay text."""
    assert annotations_of(text, PASSAGES) == []


@given(text=_ANSWERS, data=st.data())
def test_reader_gives_the_same_as_the_whole_text_wherever_it_is_cut(text: str, data: st.DataObject) -> None:
    """The texts together are the answer, the annotations together are its annotations."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    bounds = zip([0, *cuts], [*cuts, len(text)], strict=True)
    reader = CitationReader(PASSAGES)
    shown = [reader.feed(text[start:stop]) for start, stop in bounds]
    shown.append(reader.end())
    assert "".join(piece.text for piece in shown) == text
    assert [item for piece in shown for item in piece.annotations] == annotations_of(text, PASSAGES)


def test_reader_shows_a_mark_in_one_piece() -> None:
    """A mark that was split over three deltas comes with its annotation, and what stood before it came at once."""
    reader = CitationReader(PASSAGES)
    assert reader.feed("Yes【1") == ("Yes", [])
    assert reader.feed("†rep") == ("", [])
    text, annotations = reader.feed("ort.pdf】!")
    assert text == "【1†report.pdf】!"
    assert annotations[0]["start_index"] == 3


def test_reader_does_not_hold_back_for_ever() -> None:
    """A bracket that is never closed delays a bounded stretch of the answer."""
    reader = CitationReader(PASSAGES)
    shown = "".join(reader.feed("【" if number == 0 else "a").text for number in range(400))
    assert len(shown) > 200
