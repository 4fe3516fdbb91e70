"""English texts outside the phrasebook, for the model to learn where its knowledge ends.

Three sorts: texts about other things (patterns filled from word lists), sentences of the grammar with one word
that the lexicon does not have, and words of the lexicon in no order.
"""

import random
from functools import cache
from pathlib import Path

from microservices.llm.phrasebook.data import lexicon, markup, sentences

_FOLDER = Path(__file__).parent
_LONGEST_SALAD = 12


@cache
def _sections() -> dict[str, tuple[str, ...]]:
    """The lists of outside.txt by their name."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in (_FOLDER / "outside.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            current = found.setdefault(line.strip("[]"), [])
        elif line.strip() and not line.startswith("#"):
            current.extend(part.strip() for part in line.split(";") if part.strip())
    return {name: tuple(entries) for name, entries in found.items()}


@cache
def known_words() -> frozenset[str]:
    """Every English word that the grammar can say, in lower case."""
    loaded = lexicon.load()
    texts = [text for group in loaded.nouns.values() for noun in group for text in (noun.english, noun.english_plural)]
    texts += [adjective.english for group in loaded.adjectives.values() for adjective in group]
    texts += [word.english for group in loaded.words.values() for word in group]
    for verb in loaded.verbs.values():
        texts += [verb.english, verb.third_person, verb.past, verb.past_participle, verb.ing]
    texts += [template.english for template in sentences.templates.load()]
    return frozenset(word.strip("'") for text in texts for word in markup.words_of(text))


@cache
def _unknown(section: str) -> tuple[str, ...]:
    return tuple(word for word in _sections()[section] if not set(markup.words_of(word)) <= known_words())


def _fill(pattern: str, rng: random.Random) -> str:
    while "{" in pattern:
        head, _, rest = pattern.partition("{")
        name, _, tail = rest.partition("}")
        pattern = head + rng.choice(_unknown(name)) + tail
    return pattern


def _pattern(rng: random.Random) -> str:
    return _fill(rng.choice(_sections()["patterns"]), rng)


def _one_unknown_word(rng: random.Random) -> str:
    """A sentence of the grammar in which one noun, verb or adjective is unknown."""
    words = markup.sample(sentences.draw(rng).english, rng).split(" ")
    at = rng.randrange(len(words))
    tail = words[at][-1] if words[at][-1] in "?!.," else ""
    section = rng.choice(("things", "things", "people", "qualities", "actions", "names"))
    words[at] = rng.choice(_unknown(section)) + tail
    return " ".join(words)


def _salad(rng: random.Random) -> str:
    pool = " ".join(markup.sample(sentences.draw(rng).english, rng) for _ in range(2)).split(" ")
    rng.shuffle(pool)
    return " ".join(pool[: rng.randrange(3, _LONGEST_SALAD)])


def _with_known(rng: random.Random) -> str:
    """A text about other things beside a sentence of the phrasebook."""
    parts = [_pattern(rng), markup.sample(sentences.draw(rng).english, rng)]
    rng.shuffle(parts)
    return ". ".join(markup.capitalise(part) for part in parts)


def draw(rng: random.Random) -> str:
    """A text outside the phrasebook by chance."""
    make = rng.choices((_pattern, _one_unknown_word, _salad, _with_known), (0.4, 0.35, 0.1, 0.15))[0]
    return markup.capitalise(make(rng))
