"""From a file's bytes to its text: plain text, Markdown and PDF.

Everything that is wrong with a file is an `InvalidRequestError`, status 400, whose code is one of OpenAI's for files of
a vector store: `unsupported_file` or `invalid_file`.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import PurePath

from servicekit.documents.document import Document
from servicekit.errors import InvalidRequestError

UNSUPPORTED = "unsupported_file"
INVALID = "invalid_file"

#: Endings of files that are read as they are. Of the formats that OpenAI's file search takes, these are the plain ones:
#: https://platform.openai.com/docs/assistants/tools/file-search#supported-files
PLAIN_TEXT_SUFFIXES = frozenset(
    {".txt", ".text", ".md", ".markdown", ".rst", ".log", ".csv", ".tsv", ".json", ".jsonl", ".yaml", ".yml", ".toml"}
    | {".xml", ".html", ".htm", ".css", ".tex", ".py", ".js", ".ts", ".java", ".c", ".h", ".cc", ".cpp", ".hpp", ".cs"}
    | {".go", ".rs", ".php", ".rb", ".sh", ".sql"}
)
_PDF_SUFFIX = ".pdf"
_PDF_MARK = b"%PDF-"
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True, slots=True)
class ReadingLimits:
    """How much of one file is worked on; a file beyond a limit is refused, not cut.

    Attributes:
        size_bytes: Of the file.
        characters: Of the text in it: a small PDF can hold a lot.
        pages: Of a PDF.
        seconds: For the pages of a PDF, looked at between two of them.
    """

    size_bytes: int = 20_000_000
    characters: int = 10_000_000
    pages: int = 2_000
    seconds: float = 60.0


_DEFAULT_LIMITS = ReadingLimits()


def text_of(data: bytes, filename: str, limits: ReadingLimits = _DEFAULT_LIMITS) -> Document:
    """Return the text of a file.

    A PDF takes seconds of computing, so call it in a thread: `await asyncio.to_thread(text_of, data, filename)`.

    Args:
        data: The file.
        filename: Tells its format by its ending; a name without one is taken for plain text.
        limits: How much is worked on.

    Raises:
        InvalidRequestError: The format is none that is read here (`unsupported_file`); or the file is too large,
            broken, encrypted, no text in UTF-8 or UTF-16, or has no text at all (`invalid_file`).
    """
    if len(data) > limits.size_bytes:
        raise _invalid(filename, f"has {len(data)} bytes; at most {limits.size_bytes} are read. Split it")
    suffix = PurePath(filename).suffix.lower()
    if suffix == _PDF_SUFFIX or data.startswith(_PDF_MARK):
        try:
            document = _read_pdf(data, filename, limits)
        except ValueError as exc:
            raise _invalid(filename, str(exc)) from exc
    elif suffix in PLAIN_TEXT_SUFFIXES or not suffix:
        document = Document(filename, _decoded(data, filename))
    else:
        known = "PDF, Markdown (.md) and plain text (.txt and source code)"
        message = f"'{filename}' is a {suffix} file; {known} are read here. Save it as one of these."
        raise InvalidRequestError(message, code=UNSUPPORTED)
    return _checked(document, limits)


def _read_pdf(data: bytes, filename: str, limits: ReadingLimits) -> Document:
    # pypdf takes a tenth of a second and 20 MB, and most processes never see a PDF.
    from servicekit.documents.pdf import read_pdf  # noqa: PLC0415

    return Document.from_pages(filename, read_pdf(data, limits.pages, limits.characters, limits.seconds))


def _decoded(data: bytes, filename: str) -> str:
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as exc:
        remedy = "Save it as UTF-8"
        raise _invalid(filename, f"is no UTF-8 text: {exc.reason} at byte {exc.start}. {remedy}") from exc
    if "\0" in text:
        raise _invalid(filename, "has NUL characters, so it is no text. Is it a binary file under a wrong name?")
    return text


def _checked(document: Document, limits: ReadingLimits) -> Document:
    if len(document.text) > limits.characters:
        count = f"has {len(document.text)} characters of text"
        raise _invalid(document.name, f"{count}; at most {limits.characters} are read. Split it")
    if not document.text.strip():
        hint = " Is it scanned? Pictures of text are not read" if document.page_starts else ""
        raise _invalid(document.name, f"has no text.{hint}")
    return document


def _invalid(filename: str, problem: str) -> InvalidRequestError:
    ending = "" if problem.endswith(("?", ".")) else "."
    return InvalidRequestError(f"'{filename}' {problem}{ending}", code=INVALID)
