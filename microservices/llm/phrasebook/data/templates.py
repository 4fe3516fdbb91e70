"""Sentence templates: one line each, both languages, with named slots.

``Where is {p.the}? => Dov'è {p.the}? :: p=np place sg plain`` declares the slot ``p`` and says it in both
languages. What stands after the dot is a form of the slot; both texts may hold alternatives (see markup.py).
A line may begin with ``3x`` to be drawn three times as often.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from microservices.llm.phrasebook.data.actions import Action
from microservices.llm.phrasebook.data.choices import Chooser
from microservices.llm.phrasebook.data.clauses import Clause
from microservices.llm.phrasebook.data.lexicon import Lexicon, LexiconError, template_lines
from microservices.llm.phrasebook.data.phrases import Described, Fixed, NounPhrase, Pronoun, Slot

_SLOT = re.compile(r"\{(\w+)(?:\.([^}]*))?\}")
_WEIGHT = re.compile(r"^(\d+)x ")

_KINDS: dict[str, Callable[[Chooser, str, Lexicon, str], Slot]] = {
    "np": NounPhrase,
    "pronoun": Pronoun,
    "clause": Clause,
    "action": Action,
    "adj": Described,
    "word": Fixed,
}


@dataclass(frozen=True)
class Declaration:
    """A slot of a template: its name, kind and options."""

    name: str
    kind: str
    options: str


@dataclass(frozen=True)
class Template:
    """A sentence pattern in both languages."""

    english: str
    italian: str
    declarations: tuple[Declaration, ...]
    weight: int

    def fill(self, chooser: Chooser, lexicon: Lexicon) -> tuple[str, str]:
        """The markup of both languages, its slots filled by the chooser's decisions."""
        slots: dict[str, Slot] = {}
        for declared in self.declarations:
            slots[declared.name] = _KINDS[declared.kind](chooser, declared.name, lexicon, declared.options)
        for slot in slots.values():
            if isinstance(slot, Described):
                slot.slots = slots
        source = _SLOT.sub(lambda match: slots[match[1]].english(match[2] or ""), self.english)
        target = _SLOT.sub(lambda match: slots[match[1]].italian(match[2] or ""), self.italian)
        return source, target


def parse(line: str) -> Template:
    """Read one template line.

    Raises:
        LexiconError: The arrow is missing, a slot is not declared or its kind is unknown.
    """
    weight = _WEIGHT.match(line)
    body = line[weight.end() :] if weight else line
    texts, _, declared = body.partition(" :: ")
    source, arrow, target = texts.partition(" => ")
    if not arrow:
        raise LexiconError(f"a template reads 'English => Italian :: slots', found {line!r}")
    declarations = tuple(_declaration(part) for part in declared.split(";") if part.strip())
    names = {declaration.name for declaration in declarations}
    unknown = {match[1] for match in _SLOT.finditer(source + target)} - names
    if unknown:
        raise LexiconError(f"slots {sorted(unknown)} are not declared in {line!r}")
    return Template(source.strip(), target.strip(), declarations, int(weight[1]) if weight else 1)


def _declaration(text: str) -> Declaration:
    name, _, rest = text.strip().partition("=")
    kind, _, options = rest.partition(" ")
    if kind not in _KINDS:
        raise LexiconError(f"a slot is one of {sorted(_KINDS)}, found {kind!r} in {text!r}")
    return Declaration(name, kind, options)


@cache
def load() -> tuple[Template, ...]:
    """Read the template file once."""
    return tuple(parse(line) for line in template_lines())
