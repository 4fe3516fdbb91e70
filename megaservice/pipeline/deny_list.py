"""The regular expressions of a guard, in RE2: it takes time linear in the text, whatever the expression.

The syntax: https://github.com/google/re2/wiki/Syntax. Look-arounds and back-references are not in it.
"""

from __future__ import annotations

from collections.abc import Iterable

import re2


class PatternError(ValueError):
    """A text is no expression of RE2; the message says why."""


class DenyList:
    """What no text may match.

    Args:
        patterns: As written in the file.

    Raises:
        PatternError: One of them is no expression.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        listed = list(patterns)
        for pattern in listed:
            compiled_pattern(pattern)
        # As one: what stands in place of a denied text is not looked at again.
        self._pattern = compiled_pattern("|".join(f"(?:{pattern})" for pattern in listed)) if listed else None

    def denies(self, text: str) -> bool:
        """Return whether something in the text is denied."""
        return self._pattern is not None and self._pattern.search(text) is not None

    def replaced(self, text: str, by: str) -> str:
        """Return the text with another in place of everything that is denied."""
        if self._pattern is None:
            return text
        replaced: str = self._pattern.sub(lambda _match: by, text)  # a function: `by` is no template of groups
        return replaced


def compiled_pattern(pattern: str) -> re2._Regexp:
    """Compile one expression.

    Raises:
        PatternError: It is none.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as exc:
        reason = exc.args[0].decode("utf-8", "replace") if exc.args and isinstance(exc.args[0], bytes) else str(exc)
        raise PatternError(f"'{pattern}' is no regular expression of RE2: {reason}.") from exc
    if compiled.search("") is not None:
        raise PatternError(f"'{pattern}' matches an empty text, and so every sentence; write what is denied.")
    return compiled
