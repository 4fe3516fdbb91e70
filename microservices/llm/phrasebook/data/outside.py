"""English texts outside the phrasebook, for the model to learn where its knowledge ends.

Five sorts: texts about other things (patterns filled from word lists), what strangers type, words of the lexicon in
constructions that the grammar does not have, its sentences with words that the lexicon does not have, and words in no
order.
"""

import random
import re
from functools import cache
from pathlib import Path

from microservices.llm.phrasebook.data import lexicon, markup, noise, sentences, templates

_FOLDER = Path(__file__).parent
_FILES = ("outside.txt", "outside_written.txt")
_SLOT = re.compile(r"{([a-z]+)}")
#: Where a slot leaves the wrong article, which would tell these texts from others.
_A_BEFORE_VOWEL = re.compile(r"\b([Aa]) (?=[aeio]|u(?!ni|se))")
_LONGEST_SALAD = 12


@cache
def _sections() -> dict[str, tuple[str, ...]]:
    """The lists of outside.txt and outside_written.txt by their name."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in (line for name in _FILES for line in (_FOLDER / name).read_text("utf-8").splitlines()):
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
    texts += [template.english for template in templates.load()]
    return frozenset(word.strip("'") for text in texts for word in markup.words_of(text))


@cache
def _unknown(section: str) -> tuple[str, ...]:
    return tuple(word for word in _sections()[section] if not set(markup.words_of(word)) <= known_words())


@cache
def _known(name: str) -> tuple[str, ...]:
    """Words of the lexicon in one form."""
    loaded = lexicon.load()
    nouns, verbs = loaded.nouns["any"], loaded.verbs.values()
    forms = {
        "noun": (noun.english for noun in nouns),
        "nouns": (noun.english_plural for noun in nouns if not noun.is_mass),
        "adjective": (adjective.english for adjective in loaded.adjectives["any"]),
        "verb": (verb.english for verb in verbs),
        "past": (verb.past for verb in verbs),
        "participle": (verb.past_participle for verb in verbs),
        "ing": (verb.ing for verb in verbs),
        "number": (str(number) for number in (*range(2, 30), 45, 64, 91, 100, 250, 1000, 1492, 1999)),
    }
    return tuple(sorted({form for form in forms.get(name, ()) if form}))


def _fill(pattern: str, rng: random.Random) -> str:
    while match := _SLOT.search(pattern):
        pattern = pattern[: match.start()] + _filling(match.group(1), rng) + pattern[match.end() :]
    return _A_BEFORE_VOWEL.sub(r"\1n ", pattern)


def _filling(slot: str, rng: random.Random) -> str:
    if slot == "sentence":
        return markup.sample(sentences.draw(rng).english, rng).rstrip(".!")
    return rng.choice(_known(slot) or _unknown(slot))


def _pattern(rng: random.Random) -> str:
    return _fill(rng.choice(_sections()["patterns"]), rng)


def _construction(rng: random.Random) -> str:
    return _fill(rng.choice(_sections()["constructions"]), rng)


def written() -> tuple[str, ...]:
    """What strangers type, as written by hand: texts and patterns with slots."""
    return _sections()["written"]


_CHANGED_SHARE = 0.2


def _written(rng: random.Random) -> str:
    """What a stranger types, now and then with another unknown word in it, so that it is not learnt by heart."""
    text = _fill(rng.choice(written()), rng)
    return _with_unknown_word(text.split(" "), rng) if rng.random() < _CHANGED_SHARE else text


def _extended(rng: random.Random) -> str:
    """A sentence of the grammar after a beginning or before an end that the grammar does not have."""
    text = markup.sample(sentences.draw(rng).english, rng).rstrip("?!.")
    roll = rng.random()
    if roll < _HEADED_SHARE + _BOTH_SHARE:
        text = f"{_fill(rng.choice(_sections()['heads']), rng)} {text}"
    if roll >= _HEADED_SHARE:
        text = f"{text} {_fill(rng.choice(_sections()['tails']), rng)}"
    return text


_HEADED_SHARE = 0.4
_BOTH_SHARE = 0.1
_INSERTED_SHARE = 0.25
_TAILED_SHARE = 0.15
_TAILS = ("with", "for", "about the", "of the", "without", "from the", "in the", "like a", "to the", "by", "as", "than")


def _one_unknown_word(rng: random.Random) -> str:
    """A sentence of the grammar in which one word is unknown, or which has an unknown one more."""
    words = markup.sample(sentences.draw(rng).english, rng).split(" ")
    at, roll = rng.randrange(len(words)), rng.random()
    if roll < _INSERTED_SHARE:
        words.insert(at, _unknown_word(rng))
        return " ".join(words)
    if roll < _INSERTED_SHARE + _TAILED_SHARE:
        return f"{' '.join(words).rstrip('?!.')} {rng.choice(_TAILS)} {_unknown_word(rng)}"
    return _with_unknown_word(words, rng)


def _with_unknown_word(words: list[str], rng: random.Random) -> str:
    """The words with an unknown one in place of one of them, whose mark is kept."""
    at = rng.randrange(len(words))
    tail = words[at][-1] if words[at][-1:] in tuple("?!.,") else ""
    words[at] = _unknown_word(rng) + tail
    return " ".join(words)


_COINED_SHARE = 0.4
_LONGEST_COINED_LETTERS = 14


@cache
def _followers() -> dict[str, str]:
    """Which letters follow each two letters in English words, as often as they do; a space begins and ends a word."""
    found: dict[str, str] = {}
    listed = (entry for name in ("common", "things", "people", "qualities", "actions") for entry in _sections()[name])
    for word in sorted({word for entry in listed for word in markup.words_of(entry)} | known_words()):
        spelt = f"  {word} "
        for at in range(len(word) + 1):
            found[spelt[at : at + 2]] = found.get(spelt[at : at + 2], "") + spelt[at + 2]
    return found


def _without_one_letter(word: str) -> set[str]:
    return {word, *(word[:at] + word[at + 1 :] for at in range(len(word)))}


@cache
def _near_known() -> frozenset[str]:
    return frozenset(near for word in known_words() for near in _without_one_letter(word))


def coined_word(rng: random.Random) -> str:
    """A word that looks English and is not one slip away from any that the phrasebook has."""
    while True:
        word = "  "
        while not word.endswith(" ", 2) and len(word) < _LONGEST_COINED_LETTERS:
            word += rng.choice(_followers()[word[-2:]])
        word = word.strip()
        if len(word) > 2 and not _without_one_letter(word) & _near_known():
            return word


_SUFFIXES = ("",) * 12 + ("s", "ed", "ing", "ly", "er", "ness", "al", "ist", "able")
_LIST_NAMES = (
    "common", "common", "common", "written", "written", "things", "people", "qualities", "actions", "names", "person",
    "place",
)  # fmt: skip


@cache
def _met() -> tuple[str, ...]:
    """The unknown words of what strangers type."""
    met = {word for text in written() for word in markup.words_of(text) if "'" not in word}
    return tuple(sorted(word for word in met - known_words() if len(word) > 2))


def _unknown_word(rng: random.Random) -> str:
    """A coined word, or one of the lists, often with another ending: the lists are short, what people write is not."""
    if rng.random() < _COINED_SHARE:
        return coined_word(rng)
    name = rng.choice(_LIST_NAMES)
    word = rng.choice(_met() if name == "written" else _unknown(name))
    changed = word.removesuffix("e") + rng.choice(_SUFFIXES)
    return word if set(markup.words_of(changed)) & known_words() else changed


def _several_unknown_words(rng: random.Random) -> str:
    """A sentence of the grammar with most of its longer words replaced."""
    words = markup.sample(sentences.draw(rng).english, rng).split(" ")
    places = [index for index, word in enumerate(words) if len(word) > 3] or [0]
    for index in rng.sample(places, rng.randrange(1, len(places) + 1)):
        tail = words[index][-1] if words[index][-1] in "?!.," else ""
        words[index] = _unknown_word(rng) + tail
    return " ".join(words)


def _salad(rng: random.Random) -> str:
    pool = " ".join(markup.sample(sentences.draw(rng).english, rng) for _ in range(2)).split(" ")
    rng.shuffle(pool)
    return " ".join(pool[: rng.randrange(3, _LONGEST_SALAD)])


def _with_known(rng: random.Random) -> str:
    """A text about other things beside a sentence of the phrasebook."""
    other = ""
    while not markup.words_of(other):
        other = _pattern(rng) if rng.random() < 0.5 else _written(rng)
    parts = [other, markup.sample(sentences.draw(rng).english, rng)]
    rng.shuffle(parts)
    return ". ".join(markup.capitalise(part) for part in parts)


_LETTERS = (
    "b",
    "c",
    "d",
    "f",
    "g",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "z",
    "st",
    "tr",
    "br",
    "pl",
    "qu",
    "gl",
    "sk",
)
_VOWELS = ("a", "e", "i", "o", "u", "oo", "ea", "ou")
_ENDS = ("", "n", "r", "s", "t", "ck", "ing", "ed", "er", "ment", "tion", "x")


def _invented_word(rng: random.Random) -> str:
    syllables = (rng.choice(_LETTERS) + rng.choice(_VOWELS) for _ in range(rng.randrange(1, 4)))
    return "".join(syllables) + rng.choice(_ENDS)


def _invented(rng: random.Random) -> str:
    """Words of no language, alone or in a sentence of the grammar."""
    if rng.random() < 0.4:
        return " ".join(_invented_word(rng) for _ in range(rng.randrange(1, 6)))
    words = markup.sample(sentences.draw(rng).english, rng).split(" ")
    for _ in range(rng.choice((1, 1, 2))):
        words[rng.randrange(len(words))] = _invented_word(rng)
    return " ".join(words)


_JOINERS = (
    "although", "unless", "which", "whose", "whether", "until", "since", "while", "whenever", "despite", "so that",
    "as if", "even though", "in order that", "provided that", "rather than", "where", "who", "that", "after", "before",
)  # fmt: skip


def _joined(rng: random.Random) -> str:
    """Known clauses in a construction that the grammar does not have."""
    first, second = (markup.sample(sentences.draw(rng).english, rng).rstrip("?!.") for _ in range(2))
    joiner = rng.choice(_JOINERS)
    return f"{joiner} {first}, {second}" if rng.random() < 0.4 else f"{first} {joiner} {second}"


def _swapped_in(rng: random.Random) -> str:
    """A sentence of the grammar with a little word in it that changes the construction."""
    words = markup.sample(sentences.draw(rng).english, rng).split(" ")
    little = rng.choice(_unknown("little"))
    if rng.random() < 0.5 and len(words) > 2:
        words[rng.randrange(len(words))] = little
    else:
        words.insert(rng.randrange(len(words) + 1), little)
    return " ".join(words)


def _long(rng: random.Random) -> str:
    """Several sentences, mostly about other things."""
    makers = (_pattern, _written, _written, _one_unknown_word)
    parts = [rng.choice(makers)(rng) for _ in range(rng.randrange(2, 12))]
    return ". ".join(markup.capitalise(part) for part in parts)


def draw(rng: random.Random) -> str:
    """A text outside the phrasebook by chance, with a mark at its end as often as those from inside have one."""
    maker = rng.choices([maker for maker, _ in _MAKERS], [weight for _, weight in _MAKERS])[0]
    return noise.end(markup.capitalise(maker(rng)), "", rng)[0]


_MAKERS = (
    (_pattern, 0.11),
    (_written, 0.28),
    (_construction, 0.12),
    (_extended, 0.07),
    (_one_unknown_word, 0.18),
    (_several_unknown_words, 0.1),
    (_salad, 0.02),
    (_with_known, 0.05),
    (_invented, 0.02),
    (_joined, 0.02),
    (_swapped_in, 0.02),
    (_long, 0.01),
)
