"""Translations that are wrong in one known way, each checked to be wrong."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from microservices.llm.phrasebook.data import foreign, lexicon, markup, sentences, verdicts
from microservices.llm.phrasebook.data.choices import Choice, Kind
from microservices.llm.phrasebook.data.lexicon import Adjective, Noun
from microservices.llm.phrasebook.data.sentences import Sentence

_LONGEST_SPAN_WORDS = 4
_LONG_WORD_LETTERS = 4
_NEGATED_SHARE = 0.3


@dataclass(frozen=True)
class Corruption:
    """A wrong translation with the grade that it deserves."""

    candidate: str
    score: float
    feedback: str
    kind: str


_SCORES = {
    Kind.NOUN: 0.3,
    Kind.ADJECTIVE: 0.3,
    Kind.VERB: 0.3,
    Kind.WORD: 0.3,
    Kind.NUMERAL: 0.3,
    Kind.PRONOUN: 0.3,
    Kind.NUMBER: 0.5,
    Kind.PERSON: 0.4,
    Kind.TENSE: 0.4,
    Kind.NEGATION: 0.2,
    Kind.DETERMINER: 0.5,
}
_LABELS = {
    Kind.NUMBER: "Wrong number",
    Kind.PERSON: "Wrong person",
    Kind.TENSE: "Wrong verb form",
    Kind.NEGATION: "Wrong negation",
    Kind.DETERMINER: "Wrong determiner",
}


def differing_span(wrong: str, right: str) -> tuple[str, str]:
    """The words from the first difference to the last, of both texts, marks left out."""
    wrong_words, right_words = _bare_words(wrong), _bare_words(right)
    lowered_wrong = [word.lower() for word in wrong_words]
    lowered_right = [word.lower() for word in right_words]
    blocks = SequenceMatcher(None, lowered_wrong, lowered_right, autojunk=False).get_opcodes()
    changed = [block for block in blocks if block[0] != "equal"]
    if not changed:
        return "", ""
    first, last = changed[0], changed[-1]
    if last[2] - first[1] > _LONGEST_SPAN_WORDS or last[4] - first[3] > _LONGEST_SPAN_WORDS:
        last = first
    return " ".join(wrong_words[first[1] : last[2]]), " ".join(right_words[first[3] : last[4]])


def _bare_words(text: str) -> list[str]:
    words = markup.without_marks(text).split(" ")
    return [words[0][:1].lower() + words[0][1:], *words[1:]]


def explain(label: str, wrong: str, right: str) -> str:
    """One sentence that names what is wrong and what would be right."""
    before, after = differing_span(wrong, right)
    if not before:
        return f"{label}: {after} is missing."
    if not after:
        return f"{label}: {before} should not be there."
    return f"{label}: {before} should be {after}."


def other_choice(sentence: Sentence, rng: random.Random) -> Corruption | None:
    """The Italian of the sentence with one choice changed; every kind of choice is as likely."""
    changeable = {name: choice for name, choice in sentence.choices.items() if choice.kind in _SCORES}
    kinds = sorted({choice.kind for choice in changeable.values()})
    if not kinds:
        return None
    kind = rng.choice(kinds)
    name = rng.choice([name for name, choice in changeable.items() if choice.kind == kind])
    options = _instead_of(changeable[name])
    if not options:
        return None
    values = {key: taken.value for key, taken in sentence.choices.items()}
    values[name] = rng.choice(options)
    changed = sentences.make(sentence.template, rng, values)
    if changed.english == sentence.english:
        return None
    feedback = explain(_LABELS.get(kind, "Wrong word"), changed.canonical, sentence.canonical)
    return Corruption(changed.canonical, _SCORES[kind], feedback, kind.value)


def _instead_of(choice: Choice) -> list[Any]:
    """What could have been chosen instead; for a verb, one that fits what stands after it."""
    if choice.kind == Kind.VERB:
        frames = set(choice.value.frames)
        return [verb for verb in choice.options if verb is not choice.value and frames & set(verb.frames)]
    return [option for option in choice.options if option != choice.value]


def _words(sentence: Sentence) -> list[str]:
    return sentence.canonical.split(" ")


def missing(sentence: Sentence, rng: random.Random) -> Corruption | None:
    """One word left out."""
    words = _words(sentence)
    if len(words) < 3:
        return None
    del words[rng.randrange(len(words))]
    candidate = " ".join(words)
    return Corruption(candidate, 0.4, explain("Incomplete", candidate, sentence.canonical), "missing")


def added(sentence: Sentence, rng: random.Random) -> Corruption | None:
    """One word too many, from another sentence or said twice."""
    words = _words(sentence)
    at = rng.randrange(len(words) + 1)
    source = words if rng.random() < 0.3 else _words(sentences.draw(rng))
    extra = "non" if rng.random() < _NEGATED_SHARE else markup.without_marks(rng.choice(source)).lower()
    words.insert(at, extra)
    candidate = " ".join(words)
    return Corruption(candidate, 0.4, explain("One word too many", candidate, sentence.canonical), "added")


def swapped(sentence: Sentence, rng: random.Random) -> Corruption | None:
    """Two neighbouring words in the wrong order."""
    words = markup.without_marks(sentence.canonical).split(" ")
    if len(words) < 3:
        return None
    at = rng.randrange(len(words) - 1)
    right = " ".join(words[at : at + 2])
    words[at], words[at + 1] = words[at + 1], words[at]
    wrong = " ".join(words[at : at + 2])
    if at == 0:
        right = right[:1].lower() + right[1:]
        wrong = wrong.lower()
    return Corruption(" ".join(words), 0.4, f"Wrong order: {wrong} should be {right}.", "swapped")


def replaced(sentence: Sentence, rng: random.Random) -> Corruption | None:
    """A longer word replaced by a noun or adjective of the lexicon: for fixed phrases, too."""
    words = _words(sentence)
    places = [index for index, word in enumerate(words) if len(word.strip(".,!?")) >= _LONG_WORD_LETTERS]
    if not places:
        return None
    at = rng.choice(places)
    loaded = lexicon.load()
    pool: Sequence[Noun | Adjective] = loaded.nouns["any"] if rng.random() < 0.7 else loaded.adjectives["any"]
    entry = rng.choice(pool)
    mark = words[at][-1] if words[at][-1] in ".,!?" else ""
    article = words[at].rpartition("'")[0]
    words[at] = (f"{article}'" if article else "") + markup.canonical(entry.italian) + mark
    candidate = markup.capitalise(" ".join(words))
    return Corruption(candidate, 0.3, explain("Wrong word", candidate, sentence.canonical), "replaced")


_ENDINGS = {"il": "la", "la": "il", "lo": "la", "un": "una", "una": "un", "i": "le", "le": "i", "gli": "le",
            "del": "della", "della": "del", "al": "alla", "alla": "al", "nel": "nella", "nella": "nel"}  # fmt: skip


def gender(sentence: Sentence, rng: random.Random) -> Corruption | None:
    """An article or adjective in the other gender."""
    words = _words(sentence)
    choices = [index for index, word in enumerate(words) if word.lower() in _ENDINGS]
    if not choices:
        return None
    at = rng.choice(choices)
    words[at] = _ENDINGS[words[at].lower()]
    candidate = " ".join(words)
    return Corruption(candidate, 0.5, explain("Wrong article", candidate, sentence.canonical), "gender")


def part_untranslated(sentence: Sentence, rng: random.Random) -> Corruption | None:
    """One noun, adjective or word left in English."""
    names = [name for name, choice in sentence.choices.items() if choice.kind in (Kind.NOUN, Kind.ADJECTIVE)]
    if not names:
        return None
    value: Noun | Adjective = sentence.choices[rng.choice(names)].value
    words = _words(sentence)
    stem = markup.canonical(value.italian)[:-1].lower()
    for index, word in enumerate(words):
        if stem and word.lower().startswith(stem):
            words[index] = value.english
            candidate = " ".join(words)
            feedback = explain("Not translated", candidate, sentence.canonical)
            return Corruption(candidate, 0.3, feedback, "part_untranslated")
    return None


def untranslated(sentence: Sentence, rng: random.Random) -> Corruption | None:
    """The English given back."""
    return Corruption(
        markup.capitalise(markup.sample(sentence.english, rng)), 0.0, verdicts.NOT_TRANSLATED, "untranslated"
    )


def other_meaning(_sentence: Sentence, rng: random.Random) -> Corruption | None:
    """The translation of another sentence."""
    return Corruption(sentences.draw(rng).canonical, 0.1, verdicts.SOMETHING_ELSE, "other_meaning")


def other_language(_sentence: Sentence, rng: random.Random) -> Corruption | None:
    """A text in French, Spanish or German."""
    return Corruption(foreign.draw(rng), 0.0, verdicts.NOT_ITALIAN, "other_language")


_MAKERS: tuple[tuple[Callable[[Sentence, random.Random], Corruption | None], float], ...] = (
    (other_choice, 0.55),
    (replaced, 0.08),
    (missing, 0.09),
    (added, 0.05),
    (swapped, 0.03),
    (gender, 0.06),
    (part_untranslated, 0.04),
    (untranslated, 0.04),
    (other_meaning, 0.06),
    (other_language, 0.02),
)


def draw(sentence: Sentence, rng: random.Random) -> Corruption:
    """A wrong translation of the sentence, which is none of its right ones."""
    makers = [maker for maker, _ in _MAKERS]
    weights = [weight for _, weight in _MAKERS]
    while True:
        made = rng.choices(makers, weights)[0](sentence, rng)
        if made is not None and not sentence.is_right(made.candidate):
            return made
