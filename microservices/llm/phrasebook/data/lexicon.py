"""The lexicon: nouns, adjectives, verbs and words, read from the text files beside this module."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from microservices.llm.phrasebook.data import english, italian

Entry = TypeVar("Entry")
_FOLDER = Path(__file__).parent


class LexiconError(ValueError):
    """A line of a lexicon file cannot be read."""


@dataclass(frozen=True)
class Noun:
    """A noun in both languages."""

    english: str
    english_plural: str
    italian: str
    italian_plural: str
    #: m, f, or mf for the few that are feminine in the plural only (l'uovo, le uova).
    gender: str
    categories: frozenset[str]

    def gender_of(self, plural: bool) -> str:
        """The gender in a number."""
        return self.gender if len(self.gender) == 1 else self.gender[plural]

    @property
    def is_mass(self) -> bool:
        """Whether it is not counted, as bread."""
        return "mass" in self.categories

    @property
    def is_family(self) -> bool:
        """Whether its possessive takes no article in the singular: `mia madre`."""
        return "family" in self.categories


@dataclass(frozen=True)
class Adjective:
    """An adjective in both languages."""

    english: str
    italian: str
    categories: frozenset[str]

    @property
    def stands_before(self) -> bool:
        """Whether the canonical place is before the noun."""
        return "before" in self.categories

    @property
    def may_stand_before(self) -> bool:
        """Whether the place before the noun is right, too."""
        return "either" in self.categories


@dataclass(frozen=True)
class Frame:
    """What stands after a verb: prepositions of both languages and the category of the noun."""

    english: str
    italian: str
    category: str


@dataclass(frozen=True)
class Verb:
    """A verb in both languages with all the forms that the grammar uses."""

    english: str
    third_person: str
    past: str
    past_participle: str
    ing: str
    infinitive: str
    present: tuple[str, ...]
    future: tuple[str, ...]
    participle: str
    takes_essere: bool
    gerund: str
    imperative: str
    frames: tuple[Frame, ...]
    is_state: bool
    is_reflexive: bool
    #: Whether its object may stand without an article: `drink beer`, `read books`.
    takes_bare_objects: bool
    #: What follows every form: `bisogno` in `ho bisogno`.
    tail: str


@dataclass(frozen=True)
class Word:
    """A word or phrase that does not change its form; both sides may hold alternatives."""

    english: str
    italian: str


@dataclass(frozen=True)
class Lexicon:
    """Every entry, by category."""

    nouns: dict[str, tuple[Noun, ...]]
    adjectives: dict[str, tuple[Adjective, ...]]
    verbs: dict[str, Verb]
    words: dict[str, tuple[Word, ...]]


def _rows(name: str, columns: int) -> Iterator[list[str]]:
    for number, line in enumerate((_FOLDER / name).read_text("utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = [cell.strip() for cell in line.split(";")] if columns else [line]
        if len(cells) > columns:
            raise LexiconError(f"{name}:{number}: at most {columns} columns, found {len(cells)}: {line!r}")
        yield cells + [""] * (columns - len(cells))


def _noun(cells: list[str]) -> Noun:
    name, plural, word, italian_plural, gender, categories = cells
    if gender not in ("m", "f", "mf"):
        raise LexiconError(f"the gender of {name!r} must be m, f or mf, found {gender!r}")
    return Noun(
        name,
        plural or english.plural_of(name),
        word,
        italian_plural or italian.plural_of(word, gender[0]),
        gender,
        frozenset(categories.split(",")),
    )


def _adjective(cells: list[str]) -> Adjective:
    return Adjective(cells[0], cells[1], frozenset(cells[2].split(",")))


def _options(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split() if part)
    return {key: value or "yes" for key, _, value in pairs}


def _frames(text: str) -> tuple[Frame, ...]:
    frames = []
    for part in text.split(","):
        pieces = part.strip().split("/")
        if len(pieces) == 1:
            frames.append(Frame("", "", pieces[0]))
        elif len(pieces) == 3:
            frames.append(Frame(*pieces))
        else:
            raise LexiconError(f"a frame is a category or english/italian/category, found {part!r}")
    return tuple(frames)


def _verb(cells: list[str]) -> Verb:
    name, past, past_participle, infinitive, frames, rest = cells
    options = _options(rest)
    forms = options["pres"].split(",") if "pres" in options else italian.present(infinitive, "isc" in options)
    return Verb(
        english=name,
        third_person=options.get("third", english.third_person(name)),
        past=past or english.past_of(name),
        past_participle=past_participle or past or english.past_of(name),
        ing=options.get("ing", english.ing_of(name)),
        infinitive=infinitive,
        present=tuple(forms),
        future=tuple(italian.future(infinitive, options.get("fut"))),
        participle=options.get("part", italian.participle(infinitive)),
        takes_essere="essere" in options or "refl" in options,
        gerund=options.get("ger", italian.gerund(infinitive)),
        imperative=options.get("imp", italian.imperative(infinitive, forms)),
        frames=_frames(frames),
        is_state="state" in options,
        is_reflexive="refl" in options,
        takes_bare_objects="bare" in options,
        tail=options.get("tail", ""),
    )


@cache
def load() -> Lexicon:
    """Read the lexicon files once.

    Raises:
        LexiconError: A line has too many columns, an unknown gender or a frame that cannot be read.
    """
    nouns: dict[str, list[Noun]] = defaultdict(list)
    for cells in _rows("nouns.txt", 6):
        noun = _noun(cells)
        for category in _filed_under(noun.categories):
            nouns[category].append(noun)
    adjectives: dict[str, list[Adjective]] = defaultdict(list)
    for cells in _rows("adjectives.txt", 3):
        adjective = _adjective(cells)
        for category in _filed_under(adjective.categories):
            adjectives[category].append(adjective)
    words: dict[str, list[Word]] = defaultdict(list)
    for line in _lines("words.txt"):
        category, source, target = (cell.strip() for cell in line.split(";"))
        words[category].append(Word(source, target))
    verbs = {cells[0]: _verb(cells) for cells in _rows("verbs.txt", 6)}
    return Lexicon(_frozen(nouns), _frozen(adjectives), verbs, _frozen(words))


def _filed_under(categories: frozenset[str]) -> list[str]:
    """The lists that an entry stands in; one that is only also right stands in no other list."""
    return ["also"] if "also" in categories else [*sorted(categories), "any"]


def _frozen(lists: dict[str, list[Entry]]) -> dict[str, tuple[Entry, ...]]:
    return {key: tuple(entries) for key, entries in lists.items()}


def _lines(name: str) -> Iterator[str]:
    text = (_FOLDER / name).read_text("utf-8")
    return (line for line in text.splitlines() if line.strip() and not line.startswith("#"))


def template_lines() -> list[str]:
    """The lines of the sentence templates, without comments."""
    return list(_lines("templates.txt"))
