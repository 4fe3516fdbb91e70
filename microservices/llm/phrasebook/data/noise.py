"""How people type: without capitals or marks, and now and then with a slip of the finger."""

import random

_NEIGHBOURS = {
    "a": "s", "b": "v", "c": "x", "d": "f", "e": "r", "f": "g", "g": "h", "h": "j", "i": "o", "j": "k", "k": "l",
    "l": "k", "m": "n", "n": "m", "o": "p", "p": "o", "q": "w", "r": "t", "s": "d", "t": "y", "u": "i", "v": "b",
    "w": "e", "x": "c", "y": "u", "z": "x",
}  # fmt: skip
_SHORTEST_MISTYPED = 5
#: How often a text that is not typed with care has a slip in it.
SLIP_SHARE = 0.5


def mistype(text: str, rng: random.Random) -> str:
    """The text with one slip in one of its longer words: a letter doubled, dropped, swapped or a neighbour."""
    words = text.split(" ")
    long_words = [index for index, word in enumerate(words) if len(word) >= _SHORTEST_MISTYPED and word.isalpha()]
    if not long_words:
        return text
    index = rng.choice(long_words)
    words[index] = _slip(words[index], rng)
    return " ".join(words)


def _slip(word: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(word) - 1)
    slips = [
        word[:at] + word[at] + word[at:],
        word[:at] + word[at + 1 :],
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        word[:at] + _NEIGHBOURS.get(word[at], word[at]) + word[at + 1 :],
    ]
    return rng.choice(slips)


def end(source: str, target: str, rng: random.Random) -> tuple[str, str]:
    """A final mark for both texts; a question is always marked in the Italian, a statement as the English is."""
    if source[-1] in "?!.":
        return (source, target) if rng.random() < 0.8 else (source[:-1], target)
    mark = rng.choices(("", ".", "!"), (0.45, 0.45, 0.1))[0]
    return source + mark, target + mark


def end_as(source: str, candidate: str, rng: random.Random) -> str:
    """A candidate with the final mark of the source, with its own, or with none."""
    bare = candidate.rstrip(".!?")
    mark = source[-1] if source[-1] in ".!?" else candidate[len(bare) :]
    return bare + (mark if rng.random() < 0.8 else "")


def dress(text: str, rng: random.Random, slip_share: float = SLIP_SHARE) -> str:
    """The text as somebody might type it: mostly as written, else lower case, no commas or one slip."""
    roll = rng.random()
    if roll < 0.7:
        return text
    if roll < 0.88:
        text = text.lower()
    elif roll < 0.9:
        text = text.upper()
    if rng.random() < 0.3:
        text = text.replace(",", "").replace("'", "" if rng.random() < 0.3 else "'")
    return mistype(text, rng) if rng.random() < slip_share else text
