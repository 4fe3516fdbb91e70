"""The pages of a PDF, by pypdf: pure Python, so a broken file can raise, but never crash the process."""

from __future__ import annotations

import io
import struct
import time
import zlib

from pypdf import PdfReader
from pypdf.errors import DependencyError, PyPdfError

#: What pypdf lets through of a file that is not what it claims to be.
_BROKEN = (
    PyPdfError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError, RuntimeError,
    OSError, EOFError, struct.error, zlib.error,
)  # fmt: skip


class PdfError(ValueError):
    """A PDF cannot be read; the message continues "'<name>' ...", without a full stop."""


def read_pdf(data: bytes, max_pages: int, max_characters: int, max_seconds: float) -> list[str]:
    """Return the text of each page.

    Args:
        data: The file.
        max_pages: More pages are an error.
        max_characters: More characters in all are an error.
        max_seconds: For all pages, looked at between two of them.

    Raises:
        PdfError: It is broken, encrypted with a password, or beyond a limit.
    """
    try:
        return _pages(data, max_pages, max_characters, max_seconds)
    except PdfError:
        raise
    except DependencyError as exc:  # AES needs a library that is not worth its weight here
        raise PdfError("is encrypted. Save it without a password") from exc
    except _BROKEN as exc:
        reason = str(exc).split("\n")[0].rstrip(".") or type(exc).__name__
        raise PdfError(f"cannot be read as a PDF: {reason}. Is it whole?") from exc


def _pages(data: bytes, max_pages: int, max_characters: int, max_seconds: float) -> list[str]:
    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):  # many have an owner's password only
        raise PdfError("is encrypted. Save it without a password")
    if len(reader.pages) > max_pages:
        raise PdfError(f"has {len(reader.pages)} pages; at most {max_pages} are read. Split it")
    deadline = time.monotonic() + max_seconds
    pages: list[str] = []
    room = max_characters
    for number, page in enumerate(reader.pages, 1):
        if time.monotonic() > deadline:
            raise PdfError(f"took more than {max_seconds:g} s up to page {number}. Split it")
        pages.append(_clean(page.extract_text()))
        room -= len(pages[-1])
        if room < 0:
            raise PdfError(f"has more than {max_characters} characters of text by page {number}. Split it")
    return pages


def _clean(text: str) -> str:
    """Return the text without what no store takes: NUL, and halves of surrogate pairs that odd fonts give."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8").strip()
