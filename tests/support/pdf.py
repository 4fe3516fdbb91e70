"""Small PDFs, made here: one line of text a page."""

from __future__ import annotations

import io
from collections.abc import Sequence

from pypdf import PdfReader, PdfWriter


def pdf_of(pages: Sequence[str]) -> bytes:
    """Return a PDF with these pages; their text is ASCII without brackets or backslashes, an empty one has none."""
    kids = " ".join(f"{4 + 2 * index} 0 R" for index in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for index, text in enumerate(pages):
        drawing = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else ""
        resources = "/Resources << /Font << /F1 3 0 R >> >>"
        place = f"/Parent 2 0 R /MediaBox [0 0 612 792] {resources} /Contents {5 + 2 * index} 0 R"
        objects += [f"<< /Type /Page {place} >>", f"<< /Length {len(drawing)} >>\nstream\n{drawing}\nendstream"]
    return _file_of(objects)


def encrypted_pdf(pages: Sequence[str], user_password: str) -> bytes:
    """Return such a PDF that opens with a password; an empty one is tried by every reader."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf_of(pages))))
    writer.encrypt(user_password, "the owner's", algorithm="RC4-128")
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def _file_of(objects: Sequence[str]) -> bytes:
    body = b"%PDF-1.4\n"
    offsets: list[int] = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n".encode("ascii")
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    count = len(objects) + 1
    trailer = f"trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    return body + f"xref\n0 {count}\n0000000000 65535 f \n{table}{trailer}".encode("ascii")
