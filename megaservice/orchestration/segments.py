"""Cuts a text that arrives in pieces into segments, so that a later node can work on each as soon as it is there."""

from __future__ import annotations

import re
from typing import Protocol

from megaservice.pipeline.spec import ConsumeMode

#: Closing quotes and brackets that belong to the sentence before them.
_CLOSERS = "\"'\u201d\u2019)\\]"
#: The full-width comma, full stop, exclamation and question mark.
_FULL_WIDTH = "\uff0c\u3002\uff01\uff1f"
#: Where a sentence ends: one of `.?!` or an ellipsis before white space, or a run of full-width ones before anything
#: else. Each needs the character that follows, so the result does not depend on how the stream was cut. (Stock OPEA
#: ends a sentence wherever a chunk happens to end in one of them.)
_END = re.compile(rf"[.?!\u2026]+[{_CLOSERS}]*(?=\s)|[{_FULL_WIDTH}]+(?=[^{_FULL_WIDTH}])")


class Segmenter(Protocol):
    """Takes pieces of text, gives segments; all segments joined are the text."""

    def feed(self, text: str) -> list[str]:
        """Return the segments that this piece completes."""

    def end(self) -> list[str]:
        """Return what is left."""


class SentenceSegmenter:
    """Gives whole sentences; the white space between two belongs to the second."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, text: str) -> list[str]:
        """Return the sentences that this piece completes."""
        self._rest += text
        sentences, start = [], 0
        for match in _END.finditer(self._rest):
            sentences.append(self._rest[start : match.end()])
            start = match.end()
        self._rest = self._rest[start:]
        return sentences

    def end(self) -> list[str]:
        """Return the last sentence, which nothing follows."""
        rest, self._rest = self._rest, ""
        return [rest] if rest else []


class PieceSegmenter:
    """Gives every piece as it comes."""

    def feed(self, text: str) -> list[str]:
        """Return the piece, unless it is empty."""
        return [text] if text else []

    def end(self) -> list[str]:
        """Return nothing: nothing was kept."""
        return []


def segmenter_for(mode: ConsumeMode) -> Segmenter:
    """Return the segmenter of a consume mode other than `whole`."""
    return SentenceSegmenter() if mode is ConsumeMode.SENTENCE else PieceSegmenter()
