"""Italian determiners: articles, possessives, demonstratives, numerals, quantities, with a preposition before them."""

from dataclasses import dataclass

from microservices.llm.phrasebook.data import italian
from microservices.llm.phrasebook.data.lexicon import Noun

POSSESSIVES = {
    "my": ("mio", "mia", "miei", "mie"),
    "your": ("tuo", "tua", "tuoi", "tue"),
    "his": ("suo", "sua", "suoi", "sue"),
    "her": ("suo", "sua", "suoi", "sue"),
    "our": ("nostro", "nostra", "nostri", "nostre"),
    "their": ("loro", "loro", "loro", "loro"),
}
NUMERALS = {
    "two": "due",
    "three": "tre",
    "four": "quattro",
    "five": "cinque",
    "six": "sei",
    "seven": "sette",
    "eight": "otto",
    "nine": "nove",
    "ten": "dieci",
}


@dataclass(frozen=True)
class Determined:
    """What a determiner agrees with and depends on."""

    noun: Noun
    plural: bool
    is_described: bool
    numeral: str

    @property
    def gender(self) -> str:
        """The gender in the number."""
        return self.noun.gender_of(self.plural)


def determined(preposition: str, determiner: str, words: str, of: Determined) -> str:
    """The words of a noun phrase with the determiner and a preposition before them."""
    if determiner in POSSESSIVES:
        return _possessed(preposition, determiner, words, of)
    if determiner == "the":
        article = italian.definite(of.gender, of.plural, words)
        return f"{italian.contracted(preposition, article)} {words}"
    return f"{preposition} {_uncontracted(determiner, words, of)} {words}"


def _uncontracted(determiner: str, words: str, of: Determined) -> str:
    """A determiner that no preposition is contracted with."""
    if determiner in ("this", "these"):
        return italian.demonstrative_this(of.gender, of.plural, words)
    if determiner in ("that", "those"):
        return italian.demonstrative_that(of.gender, of.plural, words)
    if determiner == "some":
        return _some(words, of)
    if determiner == "generic":
        return _generic(words, of)
    if determiner in ("a", "un", "one"):
        return "" if of.plural or of.noun.is_mass else italian.indefinite(of.gender, words)
    simple = {"every": "ogni", "numeral": NUMERALS.get(of.numeral, "")}
    quantity = {"many", "a lot of"}
    return italian.agree("molto", of.gender, of.plural) if determiner in quantity else simple.get(determiner, "")


def _some(words: str, of: Determined) -> str:
    partitive = italian.contracted("di", italian.definite(of.gender, of.plural, words))
    if of.plural:
        return f"[{italian.agree('alcuno', of.gender, plural=True)}|{partitive}]"
    return f"[{partitive}|un po' di]"


def _generic(words: str, of: Determined) -> str:
    """What English says without an article: mostly nothing, and any article is right, too."""
    article = italian.definite(of.gender, of.plural, words)
    return f"[|{italian.contracted('di', article)}|{article}]"


def _possessed(preposition: str, owner: str, words: str, of: Determined) -> str:
    forms = POSSESSIVES[owner]
    possessive = forms[(2 if of.plural else 0) + (1 if of.gender == "f" else 0)]
    if of.noun.is_family and not of.plural and not of.is_described and owner != "their":
        return f"{preposition} {possessive} {words}"
    article = italian.definite(of.gender, of.plural, possessive)
    return f"{italian.contracted(preposition, article)} {possessive} {words}"
