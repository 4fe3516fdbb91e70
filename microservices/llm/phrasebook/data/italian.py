"""Italian word forms: articles, contracted prepositions, agreement, conjugation."""

from collections.abc import Sequence

_VOWELS = "aeiouàèéìòùh"
_CONTRACTED_STEMS = {"di": "de", "a": "a", "da": "da", "in": "ne", "su": "su"}
_ARTICLE_TAILS = {"il": "l", "lo": "llo", "l~": "ll~", "la": "lla", "i": "i", "gli": "gli", "le": "lle"}


def starts_with_vowel(word: str) -> bool:
    """Whether an article before the word is elided."""
    lowered = word.lower()
    return lowered[0] in _VOWELS and not lowered.startswith(("io", "ie", "ia"))


def takes_lo(word: str) -> bool:
    """Whether a masculine word takes `lo` and `uno`: z, gn, ps, x, y, s before a consonant."""
    lowered = word.lower()
    return lowered.startswith(("z", "gn", "ps", "pn", "x", "y", "io")) or (
        lowered.startswith("s") and len(lowered) > 1 and lowered[1] not in "aeiouàèéìòù"
    )


def definite(gender: str, plural: bool, following: str) -> str:
    """The definite article before a word; `~` marks an elision."""
    if gender == "f":
        return "le" if plural else ("l~" if starts_with_vowel(following) else "la")
    if plural:
        return "gli" if starts_with_vowel(following) or takes_lo(following) else "i"
    if starts_with_vowel(following):
        return "l~"
    return "lo" if takes_lo(following) else "il"


def indefinite(gender: str, following: str) -> str:
    """The indefinite article before a word."""
    if gender == "f":
        return "un~" if starts_with_vowel(following) else "una"
    return "uno" if takes_lo(following) else "un"


def contracted(preposition: str, article: str) -> str:
    """A preposition and a definite article as one: `di` and `il` are `del`."""
    if preposition not in _CONTRACTED_STEMS:
        return f"{preposition} {article}"
    return _CONTRACTED_STEMS[preposition] + _ARTICLE_TAILS[article]


def demonstrative_that(gender: str, plural: bool, following: str) -> str:
    """The forms of `quello`, which follow the definite article."""
    endings = {
        "il": "quel",
        "lo": "quello",
        "l~": "quell~",
        "la": "quella",
        "i": "quei",
        "gli": "quegli",
        "le": "quelle",
    }
    return endings[definite(gender, plural, following)]


def demonstrative_this(gender: str, plural: bool, following: str) -> str:
    """The forms of `questo`, elided before a vowel in the singular."""
    if not plural and starts_with_vowel(following):
        full = "questo" if gender == "m" else "questa"
        return f"[quest~|{full}]"
    return agree("questo", gender, plural)


def agree(adjective: str, gender: str, plural: bool) -> str:
    """An adjective or participle in the form for a gender and number."""
    if adjective in _INVARIABLE or " " in adjective:
        return adjective
    if adjective.endswith("o"):
        return _agree_in_o(adjective[:-1], gender, plural)
    if adjective.endswith("e"):
        return adjective[:-1] + "i" if plural else adjective
    if adjective.endswith("ista"):
        return adjective if not plural else adjective[:-1] + ("i" if gender == "m" else "e")
    return adjective


_INVARIABLE = frozenset({"blu", "rosa", "viola", "marrone", "single"})
_HARD_PLURALS = (
    "bianc",
    "stanc",
    "poc",
    "antic",
    "ricc",
    "fresc",
    "tedesc",
    "lung",
    "larg",
    "sporc",
    "secc",
    "ubriac",
)


def _agree_in_o(stem: str, gender: str, plural: bool) -> str:
    if not plural:
        return stem + ("o" if gender == "m" else "a")
    if gender == "f":
        return stem + ("he" if stem.endswith(("c", "g")) else "e")
    if stem.endswith("i"):
        return stem
    return stem + ("hi" if stem.endswith(_HARD_PLURALS) and stem.endswith(("c", "g")) else "i")


def before_noun(adjective: str, gender: str, plural: bool, following: str) -> str:
    """An adjective that stands before its noun, with the short forms of `buono` and `bello`."""
    if adjective == "bello":
        return (
            "be" + demonstrative_that(gender, plural, following)[3:]
            if gender == "m"
            else ("bell~" if not plural and starts_with_vowel(following) else agree(adjective, gender, plural))
        )
    if adjective == "buono" and gender == "m" and not plural:
        return "buono" if takes_lo(following) else "buon"
    return agree(adjective, gender, plural)


def plural_of(noun: str, gender: str) -> str:
    """The regular plural of a noun; the lexicon names the irregular ones."""
    if noun[-1] in "àèéìòù" or noun[-1] not in "aeio":
        return noun
    if noun.endswith(("ca", "ga")):
        return noun[:-1] + "he" if gender == "f" else noun[:-1] + "hi"
    if noun.endswith(("cia", "gia")) and noun[-4] not in _VOWELS:
        return noun[:-2] + "e"
    if noun.endswith("a"):
        return noun[:-1] + ("e" if gender == "f" else "i")
    ending = "" if noun.endswith("io") else "hi" if noun.endswith(("co", "go")) else "i"
    return noun[:-1] + ending


def present(infinitive: str, inserts_isc: bool) -> list[str]:
    """The six regular present forms of a verb: I, you, he, we, you all, they."""
    stem, ending = infinitive[:-3], infinitive[-3:]
    if ending == "are":
        soft = stem[:-1] if stem.endswith("i") else stem
        hard = stem + "h" if stem.endswith(("c", "g")) else soft
        return [stem + "o", hard + "i", stem + "a", hard + "iamo", stem + "ate", stem + "ano"]
    if ending == "ere":
        return [stem + end for end in ("o", "i", "e", "iamo", "ete", "ono")]
    if inserts_isc:
        return [stem + end for end in ("isco", "isci", "isce", "iamo", "ite", "iscono")]
    return [stem + end for end in ("o", "i", "e", "iamo", "ite", "ono")]


def future(infinitive: str, stem: str | None) -> list[str]:
    """The six future forms, on the regular stem or on the one that the lexicon names."""
    return [(stem or _future_stem(infinitive)) + end for end in ("ò", "ai", "à", "emo", "ete", "anno")]


def _future_stem(infinitive: str) -> str:
    if not infinitive.endswith("are"):
        return infinitive[:-1]
    root = infinitive[:-3]
    if root.endswith(("ci", "gi")):
        root = root[:-1]
    elif root.endswith(("c", "g")):
        root += "h"
    return root + "er"


def participle(infinitive: str) -> str:
    """The regular past participle, masculine singular."""
    return infinitive[:-3] + {"are": "ato", "ere": "uto", "ire": "ito"}[infinitive[-3:]]


def gerund(infinitive: str) -> str:
    """The regular gerund."""
    return infinitive[:-3] + ("ando" if infinitive.endswith("are") else "endo")


def imperative(infinitive: str, forms: Sequence[str]) -> str:
    """The regular command to one person (tu), from the present forms."""
    return forms[2] if infinitive.endswith("are") else forms[1]


def attached(infinitive: str, clitic: str) -> str:
    """An infinitive or gerund with a pronoun at its end: `vederlo`, `vedendolo`."""
    return (infinitive[:-1] if infinitive.endswith("e") else infinitive) + clitic
