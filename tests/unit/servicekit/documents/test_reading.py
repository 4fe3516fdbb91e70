"""The text of files: plain, Markdown, PDF; and what is said of those that cannot be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.documents.reading import ReadingLimits, text_of
from servicekit.errors import InvalidRequestError
from tests.support.pdf import encrypted_pdf, pdf_of

PAGES = ["A megaservice composes microservices.", "The gateway is on port 8000."]


@pytest.mark.parametrize(
    ("data", "filename"),
    [
        ("# Café\n".encode(), "menu.md"),
        ("# Café\n".encode("utf-8-sig"), "MENU.TXT"),
        ("# Café\n".encode("utf-16"), "menu.txt"),
        ("# Café\n".encode(), "README"),
    ],
    ids=["utf-8", "byte-order-mark", "utf-16", "no-ending"],
)
def test_text_of_a_plain_file_is_its_text(data: bytes, filename: str) -> None:
    """Byte order marks are no part of it, and it has no pages."""
    document = text_of(data, filename)
    assert (document.name, document.text, document.page_starts) == (filename, "# Café\n", ())
    assert document.page_at(3) is None


@pytest.mark.parametrize("filename", ["guide.pdf", "upload.bin"])
def test_text_of_a_pdf_is_that_of_its_pages(filename: str) -> None:
    """Every character knows its page; a PDF is known by its first bytes, too."""
    document = text_of(pdf_of(PAGES), filename)
    assert document.text == "\n\n".join(PAGES)
    assert [document.page_at(document.text.index(page)) for page in PAGES] == [1, 2]
    assert document.page_at(len(document.text) - 1) == 2


def test_text_of_a_pdf_with_an_owners_password_only_is_read() -> None:
    """Anybody may read it; the password is for changing it."""
    assert text_of(encrypted_pdf(PAGES, ""), "guide.pdf").text == "\n\n".join(PAGES)


@pytest.mark.parametrize(
    ("data", "filename", "words", "code"),
    [
        (b"PK\x03\x04", "letter.docx", ["'letter.docx'", ".docx", "PDF", "Markdown"], "unsupported_file"),
        (b"\xff\xd8\xff", "photo.jpg", [".jpg"], "unsupported_file"),
        (b"caf\xe9", "menu.txt", ["UTF-8", "byte 3"], "invalid_file"),
        (b"a\x00b", "menu.txt", ["NUL"], "invalid_file"),
        (b" \n ", "menu.txt", ["no text"], "invalid_file"),
        (b"", "README", ["no text"], "invalid_file"),
        (b"", "guide.pdf", ["cannot be read as a PDF"], "invalid_file"),
        (b"%PDF-1.4 nothing", "guide.pdf", ["cannot be read as a PDF", "whole?"], "invalid_file"),
        (pdf_of(PAGES)[:200], "guide.pdf", ["cannot be read as a PDF"], "invalid_file"),
        (pdf_of(["", ""]), "guide.pdf", ["no text", "scanned"], "invalid_file"),
        (encrypted_pdf(PAGES, "secret"), "guide.pdf", ["encrypted", "password"], "invalid_file"),
    ],
    ids=["word", "picture", "latin-1", "nul", "blank", "empty", "empty-pdf", "no-pdf", "cut-pdf", "scanned", "locked"],
)
def test_text_of_a_file_that_cannot_be_read_says_why(data: bytes, filename: str, words: list[str], code: str) -> None:
    """A 400 with OpenAI's code for files, naming the file and the remedy."""
    with pytest.raises(InvalidRequestError) as failure:
        text_of(data, filename)
    assert (failure.value.status, failure.value.code) == (400, code)
    assert [word for word in [*words, filename] if word not in failure.value.message] == []


@pytest.mark.parametrize(
    ("limits", "data", "filename", "words"),
    [
        (ReadingLimits(size_bytes=3), b"four", "a.txt", "has 4 bytes; at most 3"),
        (ReadingLimits(characters=3), b"four", "a.txt", "has 4 characters of text; at most 3"),
        (ReadingLimits(characters=3), pdf_of(PAGES), "a.pdf", "more than 3 characters of text by page 1"),
        (ReadingLimits(pages=1), pdf_of(PAGES), "a.pdf", "has 2 pages; at most 1"),
        (ReadingLimits(seconds=-1), pdf_of(PAGES), "a.pdf", "up to page 1"),
    ],
    ids=["bytes", "characters", "characters-of-pdf", "pages", "seconds"],
)
def test_text_of_a_file_beyond_a_limit_is_refused(
    limits: ReadingLimits, data: bytes, filename: str, words: str
) -> None:
    """Half of a document would be found as if it were the whole one."""
    with pytest.raises(InvalidRequestError) as failure:
        text_of(data, filename, limits)
    assert words in failure.value.message
    assert failure.value.message.endswith("Split it.")


@given(place=st.integers(0, 1_500), garbage=st.binary(min_size=1, max_size=8), cut=st.booleans())
def test_text_of_a_damaged_pdf_is_its_text_or_an_error_of_ours(place: int, garbage: bytes, cut: bool) -> None:
    """Over a broken file pypdf raises many kinds of exceptions; none gets through."""
    whole = pdf_of(PAGES)
    damaged = whole[:place] + garbage + (b"" if cut else whole[place + len(garbage) :])
    try:
        text_of(damaged, "guide.pdf")
    except InvalidRequestError as exc:
        assert exc.code == "invalid_file"  # noqa: PT017 - either is fine
