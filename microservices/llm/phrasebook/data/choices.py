"""Sentences as sequences of named choices, so that one choice can be changed and the sentence said again.

A corruption of a translation is the Italian of the same sentence with one choice changed: the grammar writes
the wrong sentence too, so that it is wrong in exactly one known way.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

Option = TypeVar("Option")


class Kind(StrEnum):
    """What a choice decides, and so what is wrong when it is changed."""

    NOUN = "noun"
    ADJECTIVE = "adjective"
    VERB = "verb"
    WORD = "word"
    NUMERAL = "numeral"
    PRONOUN = "pronoun"
    NUMBER = "number"
    PERSON = "person"
    TENSE = "tense"
    NEGATION = "negation"
    DETERMINER = "determiner"
    SHAPE = "shape"


#: The kinds whose options are entries of the lexicon.
LEXICAL = frozenset({Kind.NOUN, Kind.ADJECTIVE, Kind.VERB, Kind.WORD})


@dataclass(frozen=True)
class Choice:
    """One decision taken while a sentence was made."""

    kind: Kind
    value: Any
    #: Everything that could have been taken, other right forms included.
    options: Sequence[Any]


class Chooser:
    """Takes the decisions of one sentence, by chance or as they were taken before."""

    def __init__(self, rng: random.Random, replay: dict[str, Any] | None = None) -> None:
        """Decide with `rng`, except where `replay` names the value to take."""
        self._rng = rng
        self._replay = replay or {}
        self.taken: dict[str, Choice] = {}

    def pick(self, name: str, kind: Kind, options: Sequence[Option], others: Sequence[Option] = ()) -> Option:
        """Take one of the options.

        Args:
            name: What is decided, unique within the sentence.
            kind: What a change of this choice would be called.
            options: What may be taken; repeat a value to make it likelier.
            others: What may be taken only when a choice is replaced: forms that are right but not canonical.
        """
        value: Option
        if name in self._replay and (self._replay[name] in options or self._replay[name] in others):
            value = self._replay[name]
        else:
            value = options[int(self._rng.random() * len(options))]
        self.taken[name] = Choice(kind, value, options if not others else [*options, *others])
        return value

    def values(self) -> dict[str, Any]:
        """The decisions taken so far by name, fit for a replay."""
        return {name: choice.value for name, choice in self.taken.items()}
