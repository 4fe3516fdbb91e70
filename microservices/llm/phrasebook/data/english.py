"""English word forms: plurals, articles, third person, past, -ing, comparison."""

_VOWELS = "aeiou"
_SOUNDS_LIKE_CONSONANT = ("uni", "use", "euro", "one")
_SOUNDS_LIKE_VOWEL = ("hour", "honest")


def plural_of(noun: str) -> str:
    """The regular plural of a noun; the lexicon names the irregular ones."""
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in _VOWELS:
        return noun[:-1] + "ies"
    return noun + "s"


def indefinite(following: str) -> str:
    """`a` or `an`, by the word that follows."""
    lowered = following.lower()
    if lowered.startswith(_SOUNDS_LIKE_CONSONANT):
        return "a"
    return "an" if lowered[0] in _VOWELS or lowered.startswith(_SOUNDS_LIKE_VOWEL) else "a"


def third_person(verb: str) -> str:
    """The present form after he, she and it."""
    head, _, tail = verb.partition(" ")
    special = {"be": "is", "have": "has", "do": "does", "go": "goes"}
    form = special.get(head) or plural_of(head)
    return f"{form} {tail}".strip()


def past_of(verb: str) -> str:
    """The regular past; the lexicon names the irregular ones."""
    head, _, tail = verb.partition(" ")
    if head.endswith("e"):
        form = head + "d"
    elif head.endswith("y") and head[-2] not in _VOWELS:
        form = head[:-1] + "ied"
    else:
        form = (_doubled(head) if _doubles(head) else head) + "ed"
    return f"{form} {tail}".strip()


def ing_of(verb: str) -> str:
    """The -ing form."""
    head, _, tail = verb.partition(" ")
    if head.endswith("ie"):
        form = head[:-2] + "ying"
    elif head.endswith("e") and not head.endswith(("ee", "be")):
        form = head[:-1] + "ing"
    else:
        form = (_doubled(head) if _doubles(head) else head) + "ing"
    return f"{form} {tail}".strip()


def comparative_of(adjective: str) -> str:
    """`taller`, or `more expensive`."""
    special = {"good": "better", "bad": "worse", "far": "farther"}
    if adjective in special:
        return special[adjective]
    return _graded(adjective, "er", "more")


def superlative_of(adjective: str) -> str:
    """`tallest`, or `most expensive`, without the article."""
    special = {"good": "best", "bad": "worst", "far": "farthest"}
    if adjective in special:
        return special[adjective]
    return _graded(adjective, "est", "most")


def _graded(adjective: str, ending: str, word: str) -> str:
    if adjective.endswith("y") and _syllables(adjective) <= 2:
        return adjective[:-1] + "i" + ending
    if _syllables(adjective) > 1:
        return f"{word} {adjective}"
    if adjective.endswith("e"):
        return adjective + ending[1:]
    return (_doubled(adjective) if _doubles(adjective) else adjective) + ending


def _syllables(word: str) -> int:
    trimmed = word.removesuffix("e")
    return sum(
        1
        for index, letter in enumerate(trimmed)
        if letter in "aeiouy" and (index == 0 or trimmed[index - 1] not in "aeiouy")
    )


def _doubles(word: str) -> bool:
    """Whether the last consonant is doubled: one syllable, one vowel before it."""
    return (
        len(word) > 2
        and word[-1] not in "aeiouwxy"
        and word[-2] in _VOWELS
        and word[-3] not in _VOWELS
        and (_syllables(word) == 1 or word in {"begin", "forget", "prefer"})
    )


def _doubled(word: str) -> str:
    return word + word[-1]
