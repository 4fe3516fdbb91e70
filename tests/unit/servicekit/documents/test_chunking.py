"""Chunks: where they begin and end, and what every document can be sure of."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.documents.chunking import Chunk, ChunkingStrategy, chunked, estimated_tokens
from servicekit.documents.document import Document
from servicekit.errors import InvalidRequestError

_LINES = st.one_of(
    st.sampled_from(["", "# Title", "## Part", "```", "- item", "A sentence. Another one!", "短い文。次の文。"]),
    st.text(max_size=60),
)
_DOCUMENTS = st.lists(_LINES, max_size=30).map(lambda lines: Document("any.md", "\n".join(lines)))
_STRATEGIES = st.tuples(st.integers(1, 60), st.floats(0, 0.5)).map(
    lambda pair: ChunkingStrategy(pair[0], int(pair[0] * pair[1]))
)


def _texts(text: str, size: int, overlap: int = 0) -> list[str]:
    return [chunk.text for chunk in chunked(Document("a.md", text), ChunkingStrategy(size, overlap))]


@given(_DOCUMENTS, _STRATEGIES)
def test_chunks_are_stretches_of_the_text_that_cover_every_word(document: Document, strategy: ChunkingStrategy) -> None:
    """Offsets are those of the text, no chunk is too large, the order is the text's, and nothing is left out."""
    chunks = chunked(document, strategy)
    covered = [False] * len(document.text)
    for chunk in chunks:
        assert chunk.text == document.text[chunk.start : chunk.end] == chunk.text.strip()
        assert 1 <= estimated_tokens(chunk.text) <= strategy.max_chunk_size_tokens
        covered[chunk.start : chunk.end] = [True] * len(chunk.text)
    assert all(done or character.isspace() for character, done in zip(document.text, covered, strict=True))
    for before, after in itertools.pairwise(chunks):
        assert before.start < after.start
        assert before.end < after.end


@given(_DOCUMENTS, _STRATEGIES)
def test_chunks_cut_no_word_that_fits_into_one(document: Document, strategy: ChunkingStrategy) -> None:
    """A chunk begins and ends at white space, unless the word there is larger than a whole chunk."""
    limit = strategy.max_chunk_size_tokens
    for chunk in chunked(document, strategy):
        for place in (chunk.start, chunk.end):
            before, after = document.text[:place], document.text[place:]
            is_inside = before[-1:].strip() and after[:1].strip()
            if is_inside:
                assert estimated_tokens(before.split()[-1] + after.split()[0]) > limit


@given(_DOCUMENTS, _STRATEGIES)
def test_chunks_repeat_no_more_than_the_overlap(document: Document, strategy: ChunkingStrategy) -> None:
    """What two neighbours share is at most `chunk_overlap_tokens`."""
    for before, after in itertools.pairwise(chunked(document, strategy)):
        shared = document.text[after.start : before.end]
        assert estimated_tokens(shared) <= strategy.chunk_overlap_tokens


def test_chunk_ends_before_a_heading_where_it_can() -> None:
    """A section that fits stays together, and its heading stays with it."""
    text = "# One\n\nFirst text is here.\n\n# Two\n\nSecond text is here.\n"
    assert _texts(text, 12) == ["# One\n\nFirst text is here.", "# Two\n\nSecond text is here."]


def test_chunk_never_ends_behind_a_heading_that_fits_with_its_text() -> None:
    """Neither behind one, nor between a title and the first heading under it."""
    text = "Some words to begin with here.\n\n# Title\n\n## Part\n\nThe text of it."
    assert _texts(text, 12) == ["Some words to begin with here.", "# Title\n\n## Part\n\nThe text of it."]


def test_chunk_takes_a_hash_in_a_fence_for_no_heading() -> None:
    """A shell's comment is no place to cut."""
    text = "Run this now, please, all of you:\n```\nmake up\n# wait\nmake status\n```\n"
    assert _texts(text, 14) == ["Run this now, please, all of you:", "```\nmake up\n# wait\nmake status\n```"]


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        ("One paragraph is here.\n\nAnother one. And more words.", 10, "One paragraph is here."),
        ("A first sentence. Then a second\none that is longer than it", 8, "A first sentence."),
        ("A list of things:\n- the first one\n- the second one", 9, "A list of things:\n- the first one"),
        ("no sentence ends\nin these lines of words", 6, "no sentence ends"),
        ("abcdefghij" * 4, 5, "abcdefghij" * 2),
        ("水" * 20, 6, "水" * 8),
    ],
    ids=["paragraph", "sentence", "item", "line", "huge-word", "huge-word-in-chinese"],
)
def test_chunk_ends_at_the_best_place_of_its_last_half(text: str, size: int, expected: str) -> None:
    """Paragraphs before items before sentences before lines before words."""
    assert _texts(text, size)[0] == expected


def test_chunk_begins_with_a_sentence_where_the_overlap_has_one() -> None:
    """What is repeated makes sense by itself."""
    text = "The first sentence is here. The second one is here. The third one is here."
    assert _texts(text, 14, 7) == [
        "The first sentence is here. The second one is here.",
        "The second one is here. The third one is here.",
    ]


def test_chunk_knows_its_page() -> None:
    """The page on which it begins."""
    document = Document.from_pages("a.pdf", ["The first page.", "The second page."])
    assert chunked(document, ChunkingStrategy(4, 0)) == [
        Chunk("The first page.", 0, 15, 1),
        Chunk("The second page.", 17, 33, 2),
    ]


def test_chunks_of_a_short_text_are_the_text_with_openais_defaults() -> None:
    """800 tokens with an overlap of 400; a text without words has no chunk."""
    assert (ChunkingStrategy().max_chunk_size_tokens, ChunkingStrategy().chunk_overlap_tokens) == (800, 400)
    assert chunked(Document("a.txt", "  Hello.\n")) == [Chunk("Hello.", 2, 8)]
    assert chunked(Document("a.txt", " \n")) == []


@pytest.mark.parametrize(
    ("size", "overlap", "param"),
    [(0, 0, "max_chunk_size_tokens"), (100, -1, "chunk_overlap_tokens"), (100, 51, "chunk_overlap_tokens")],
)
def test_strategy_that_cannot_be_is_a_400_that_names_the_field(size: int, overlap: int, param: str) -> None:
    """An overlap of more than half would repeat everything."""
    with pytest.raises(InvalidRequestError) as failure:
        ChunkingStrategy(size, overlap)
    assert failure.value.param == param
