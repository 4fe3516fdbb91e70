"""Sentence pairs: a template filled by chance, with everything needed to say it wrong on purpose."""

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from microservices.llm.phrasebook.data import lexicon, markup, templates
from microservices.llm.phrasebook.data.choices import LEXICAL, Choice, Chooser, Kind
from microservices.llm.phrasebook.data.templates import Template

#: One combination of a template and its words out of this many is never trained on.
HELD_OUT_ONE_IN = 20


@dataclass(frozen=True)
class Sentence:
    """One sentence in both languages, as markup, with the choices that made it."""

    template: Template
    english: str
    italian: str
    choices: dict[str, Choice]

    @property
    def is_fixed(self) -> bool:
        """Whether no word of it is chosen: a fixed phrase."""
        return not any(choice.kind in LEXICAL for choice in self.choices.values())

    @property
    def is_held_out(self) -> bool:
        """Whether this combination of template and words is kept for the evaluation."""
        if self.is_fixed:
            return False
        words = [choice.value.english for choice in self.choices.values() if choice.kind in LEXICAL]
        key = "\n".join([self.template.english, *words])
        return zlib.crc32(key.encode()) % HELD_OUT_ONE_IN == 0

    @property
    def canonical(self) -> str:
        """The Italian that the model is taught."""
        return markup.capitalise(markup.canonical(self.italian))

    def is_right(self, candidate: str) -> bool:
        """Whether a candidate is one of the right translations; case and punctuation do not count."""
        return markup.accepts(self.italian, candidate)


def make(template: Template, rng: random.Random, replay: dict[str, Any] | None = None) -> Sentence:
    """Fill a template by chance, or as the replayed decisions say."""
    chooser = Chooser(rng, replay)
    source, target = template.fill(chooser, lexicon.load())
    return Sentence(template, source, target, chooser.taken)


@cache
def _weighted() -> tuple[Sequence[Template], Sequence[int]]:
    loaded = templates.load()
    totals = []
    total = 0
    for template in loaded:
        total += template.weight
        totals.append(total)
    return loaded, totals


def draw(rng: random.Random, held_out: bool = False) -> Sentence:
    """A sentence by chance, from the held-out combinations or from the others."""
    loaded, totals = _weighted()
    while True:
        template = rng.choices(loaded, cum_weights=totals)[0]
        sentence = make(template, rng)
        if sentence.is_held_out == held_out:
            return sentence


def another_right(sentence: Sentence, rng: random.Random) -> str:
    """A right translation, perhaps with another word (`auto` for `macchina`) or form (`siete` for `sei`)."""
    replaceable = [name for name, choice in sentence.choices.items() if choice.kind in _WITH_OTHERS]
    rng.shuffle(replaceable)
    for name in replaceable:
        values = {key: choice.value for key, choice in sentence.choices.items()}
        same = [option for option in sentence.choices[name].options if _is_said_alike(option, values[name])]
        if same:
            values[name] = rng.choice(same)
            changed = make(sentence.template, rng, values)
            if changed.english == sentence.english:
                return markup.capitalise(markup.sample(changed.italian, rng, 0.7))
    return markup.capitalise(markup.sample(sentence.italian, rng, 0.3))


_WITH_OTHERS = frozenset({Kind.NOUN, Kind.ADJECTIVE, Kind.PERSON, Kind.WORD})


def _is_said_alike(option: Any, value: Any) -> bool:  # noqa: ANN401 - choices are of any kind
    if option == value:
        return False
    if isinstance(value, tuple):
        return bool(option[0] == value[0])
    return bool(option.english == value.english)
