"""What `/docs` shows of bodies that routes parse by hand."""

from __future__ import annotations

import orjson

from servicekit.asgi.docs import body_docs
from servicekit.openai.chat import ChatRequest


def test_body_docs_hold_no_reference() -> None:
    """The page could not resolve one: the definitions are not at the document's root."""
    text = orjson.dumps(body_docs(ChatRequest))
    assert b"$ref" not in text
    assert b"$defs" not in text
    assert b'"developer"' in text  # a role, from the nested message
