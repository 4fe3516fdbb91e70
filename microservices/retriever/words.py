"""The words of a question that say what it is about."""

from __future__ import annotations

import re

_WORD = re.compile(r"\w+")
_ENDINGS = ("ings", "ing", "ies", "ed", "es", "s", "e", "y")
#: Shorter stems would make different words one.
_LEAST_STEM = 3
#: More words make a question no clearer, and each is a look-up.
_MAX_WORDS = 64
_COMMON = """
a about all an and any are as at be been but by can could did do does for from had has have how i if in into is it
its just let me my no not of on or our please should so some tell than that the their them then there these they this
those to us was we were what when where which who whom whose why will with would you your
"""
_STOP_WORDS = frozenset(_COMMON.split())


def telling_words(text: str) -> list[str]:
    """Return the words of a text without those that every English text has, each once; all of them if none is left."""
    words = list(dict.fromkeys(_WORD.findall(text.casefold())))
    return ([word for word in words if word not in _STOP_WORDS] or words)[:_MAX_WORDS]


def stems(text: str) -> list[str]:
    """Return the words of a text without their English endings, so that `ports` is `port`."""
    return [_stem(word) for word in _WORD.findall(text.casefold())]


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _LEAST_STEM:
            return word.removesuffix(ending)
    return word
