"""Markup for right alternatives: ``[Ciao|Salve]`` reads "Ciao, or also Salve".

The first alternative is the canonical one and any may be empty; brackets nest. Both languages use it: on the
English side any alternative may be shown to the model, on the Italian side the model is taught the first and
the grader accepts all.
"""

import random
import re
from dataclasses import dataclass
from functools import lru_cache

_SPACES = re.compile(r"\s+")
_SPACE_BEFORE_MARK = re.compile(r" +([,.!?;:])")
_SPACE_AFTER_APOSTROPHE = re.compile(r"(?<=\w)~ *")
_TOKENS = re.compile(r"[\[\]|]|[^\[\]|]+")


class MarkupError(ValueError):
    """The brackets of a text do not match."""


@dataclass(frozen=True)
class Alternatives:
    """A choice between sequences of literal texts and further choices."""

    options: tuple[tuple["str | Alternatives", ...], ...]


Node = str | Alternatives


@lru_cache(maxsize=4096)
def parse(markup: str) -> tuple[Node, ...]:
    """Split a text with markup into literals and alternatives.

    Raises:
        MarkupError: A bracket is missing or stands alone.
    """
    tokens = _TOKENS.findall(markup)
    options, end = _parse_options(tokens, 0)
    if end != len(tokens) or len(options) != 1:
        raise MarkupError(f"unbalanced brackets in {markup!r}")
    return options[0]


def _parse_options(tokens: list[str], start: int) -> tuple[list[tuple[Node, ...]], int]:
    options: list[list[Node]] = [[]]
    index = start
    while index < len(tokens) and tokens[index] != "]":
        token = tokens[index]
        if token == "[":
            inner, index = _parse_options(tokens, index + 1)
            if index >= len(tokens):
                raise MarkupError(f"a closing bracket is missing in {''.join(tokens)!r}")
            options[-1].append(Alternatives(tuple(inner)))
        elif token == "|":
            options.append([])
        else:
            options[-1].append(token)
        index += 1
    return [tuple(option) for option in options], index


def canonical(markup: str) -> str:
    """The text with the first alternative everywhere, spaces put right."""
    return tidy(_first(parse(markup))) if "[" in markup else tidy(markup)


def _first(nodes: tuple[Node, ...]) -> str:
    return "".join(node if isinstance(node, str) else _first(node.options[0]) for node in nodes)


def sample(markup: str, rng: random.Random, first_share: float = 0.5) -> str:
    """One of the texts that the markup stands for.

    Args:
        markup: The text with alternatives.
        rng: The source of chance.
        first_share: How often the first alternative is taken without a draw.
    """
    return tidy(_sample(parse(markup), rng, first_share)) if "[" in markup else tidy(markup)


def _sample(nodes: tuple[Node, ...], rng: random.Random, first_share: float) -> str:
    parts = []
    for node in nodes:
        if isinstance(node, str):
            parts.append(node)
        else:
            option = node.options[0] if rng.random() < first_share else rng.choice(node.options)
            parts.append(_sample(option, rng, first_share))
    return "".join(parts)


def tidy(text: str) -> str:
    """Join elided words (``l~ amico``), single the spaces and put none before a mark."""
    joined = _SPACE_AFTER_APOSTROPHE.sub("'", text)
    return _SPACE_BEFORE_MARK.sub(r"\1", _SPACES.sub(" ", joined)).strip()


_MARKS = re.compile(r"[,.!?;:]")


def without_marks(text: str) -> str:
    """The text without punctuation, its case kept."""
    return tidy(_MARKS.sub(" ", text))


def plain(text: str) -> str:
    """What the comparison of two translations looks at: lower case, no marks, single spaces."""
    return tidy(_MARKS.sub(" ", text)).lower()


def accepts(markup: str, candidate: str) -> bool:
    """Whether a candidate is one of the texts of the markup; case and punctuation do not count."""
    pattern = _pattern(parse(_MARKS.sub(" ", markup)))
    return re.fullmatch(pattern, plain(candidate).replace(" ", ""), re.IGNORECASE) is not None


def _pattern(nodes: tuple[Node, ...]) -> str:
    """A regular expression over the text without its spaces, which alternatives may leave doubled."""
    parts = []
    for node in nodes:
        if isinstance(node, str):
            parts.append(re.escape(node.replace(" ", "").replace("~", "'")))
        else:
            parts.append("(?:" + "|".join(_pattern(option) for option in node.options) + ")")
    return "".join(parts)


def capitalise(text: str) -> str:
    """The text with its first letter as a capital, the rest untouched."""
    return text[:1].upper() + text[1:]


_WORDS = re.compile(r"[A-Za-zÀ-ÿ']+")


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case, markup and slots left out."""
    return [word.lower() for word in _WORDS.findall(re.sub(r"\{[^}]*\}", " ", text))]
