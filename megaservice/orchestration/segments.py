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
#: ends a sentence wherever a chunk happens to end in one of them.) The look-behinds let a match start at the beginning
#: of a run only, and the possessive `++` never gives back: a long run of marks must not cost its square.
_END = re.compile(
    rf"(?<![.?!\u2026])[.?!\u2026]++[{_CLOSERS}]*+(?=\s)|(?<![{_FULL_WIDTH}])[{_FULL_WIDTH}]++(?=[^{_FULL_WIDTH}])"
)
#: The characters that a match may consist of.
_MARKS = frozenset(".?!\u2026\"'\u201d\u2019)]" + _FULL_WIDTH)
#: A run of marks longer than this is looked at again only in part.
_LONGEST_TAIL = 256


class Segmenter(Protocol):
    """Takes pieces of text, gives segments; all segments joined are the text."""

    def feed(self, text: str) -> list[str]:
        """Return the segments that this piece completes."""

    def end(self) -> list[str]:
        """Return what is left."""


class SentenceSegmenter:
    """Gives whole sentences; the white space between two belongs to the second."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._tail = ""

    def feed(self, text: str) -> list[str]:
        """Return the sentences that this piece completes.

        Only the end of what came before is looked at again, so a text without sentences costs its length.
        """
        fresh, self._tail = self._tail + text, ""
        sentences, start = [], 0
        for match in _END.finditer(fresh):
            sentences.append("".join(self._pieces) + fresh[start : match.end()])
            self._pieces.clear()
            start = match.end()
        self._keep(fresh[start:])
        return sentences

    def end(self) -> list[str]:
        """Return the last sentence, which nothing follows."""
        rest = "".join(self._pieces) + self._tail
        self._pieces, self._tail = [], ""
        return [rest] if rest else []

    def _keep(self, rest: str) -> None:
        """Keep what completed nothing; marks at its very end wait for what follows them."""
        marks = len(rest)
        while marks > 0 and rest[marks - 1] in _MARKS and len(rest) - marks < _LONGEST_TAIL:
            marks -= 1
        self._pieces.append(rest[:marks])
        self._tail = rest[marks:]


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
