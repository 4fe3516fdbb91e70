"""Slots of a sentence that carry nouns, pronouns, adjectives and fixed words."""

from typing import Protocol

from microservices.llm.phrasebook.data import english, italian
from microservices.llm.phrasebook.data.agreement import AVERE, ERA, ESSERE, STARE, Agreement
from microservices.llm.phrasebook.data.choices import Chooser, Kind
from microservices.llm.phrasebook.data.determiners import NUMERALS, Determined, determined
from microservices.llm.phrasebook.data.lexicon import Adjective, Lexicon, Noun, Word


class Slot(Protocol):
    """A constituent that can be said in both languages, in one of its forms."""

    def english(self, form: str) -> str:
        """The English text of a form."""

    def italian(self, form: str) -> str:
        """The Italian markup of a form."""


_SINGULAR_DETERMINERS = (
    *(
        "the",
        "the",
        "the",
        "the",
        "a",
        "a",
        "a",
        "my",
        "my",
        "your",
        "your",
        "his",
        "her",
        "our",
        "their",
        "this",
        "that",
    ),
    *("every", "one"),
)
_PLURAL_DETERMINERS = (
    *("the", "the", "the", "my", "my", "your", "our", "her", "these", "those", "some", "numeral", "numeral", "numeral"),
    *("many", "a lot of"),
)
_MASS_DETERMINERS = ("the", "the", "the", "my", "some", "this", "a lot of")
_NOT_OF_FAMILY = frozenset({"this", "that", "these", "those", "every", "a lot of"})
#: Nouns that may stand without an article in the singular.
_WITHOUT_ARTICLE = frozenset({"mass", "massfood"})
_GENERIC_ONE_IN = 2
_PREPOSITIONS = frozenset({"di", "a", "da", "in", "su", "con", "per", "tra"})


class NounPhrase:
    """A noun with its determiner, number and perhaps an adjective."""

    def __init__(self, chooser: Chooser, name: str, lexicon: Lexicon, options: str) -> None:
        """Choose the parts.

        Args:
            chooser: Takes the decisions.
            name: The name of the slot, which begins the names of its choices.
            lexicon: Where the nouns and adjectives are.
            options: Words apart by spaces: a noun category; `sg` or `pl` to fix the number; `plain` for no adjective;
                `generic` for perhaps no article, where English has none.
        """
        category, *flags = options.split()
        self.noun = _choose_noun(chooser, name, lexicon, category, flags)
        self.plural = self._choose_number(chooser, name, flags)
        self.determiner = self._choose_determiner(chooser, name, "generic" in flags)
        self.numeral = ""
        if self.determiner == "numeral":
            self.numeral = chooser.pick(f"{name}.numeral", Kind.NUMERAL, list(NUMERALS))
        self.adjective: Adjective | None = None
        if "plain" not in flags and chooser.pick(f"{name}.described", Kind.SHAPE, [False, False, False, True]):
            suited = _suited_adjectives(lexicon, self.noun)
            self.adjective = chooser.pick(f"{name}.adjective", Kind.ADJECTIVE, suited, lexicon.adjectives["also"])

    def _choose_number(self, chooser: Chooser, name: str, flags: list[str]) -> bool:
        if "pairs" in self.noun.categories:
            return True
        if self.noun.is_mass or "sg" in flags:
            return False
        if "pl" in flags:
            return True
        return chooser.pick(f"{name}.plural", Kind.NUMBER, [False, False, True])

    def _choose_determiner(self, chooser: Chooser, name: str, may_be_generic: bool) -> str:
        options: tuple[str, ...] = _MASS_DETERMINERS
        if not self.noun.is_mass:
            options = _PLURAL_DETERMINERS if self.plural else _SINGULAR_DETERMINERS
        if self.noun.is_family:
            options = tuple(word for word in options if word not in _NOT_OF_FAMILY)
        if may_be_generic and (self.plural or self.noun.categories & _WITHOUT_ARTICLE):
            options += ("generic",) * (len(options) // _GENERIC_ONE_IN)
        return chooser.pick(f"{name}.determiner", Kind.DETERMINER, options)

    @property
    def gender(self) -> str:
        """The Italian gender in the chosen number."""
        return self.noun.gender_of(self.plural)

    @property
    def agreement(self) -> Agreement:
        """What a verb or adjective agrees with."""
        return Agreement(5 if self.plural else 2, self.gender, self.plural)

    def english(self, form: str) -> str:
        """The phrase, or with a determiner as the form: `the`, `a`, `bare`, `my`; or `is`, `was`, `has`, `does`."""
        if form in ("is", "was", "has", "does", "like"):
            return english_verb(form, self.agreement)
        if form == "name":
            return self.noun.english
        noun = self.noun.english_plural if self.plural else self.noun.english
        if "pairs" in self.noun.categories:
            noun = self.noun.english
        words = f"{self.adjective.english} {noun}" if self.adjective else noun
        determiner = form or self.determiner
        if determiner in ("bare", "generic"):
            return words
        if determiner == "a":
            return words if self.plural or self.noun.is_mass else f"{english.indefinite(words)} {words}"
        return f"{self.numeral if determiner == 'numeral' else determiner} {words}"

    def italian(self, form: str) -> str:
        """The phrase after a preposition: `di`, `di the`, `the`, `bare`; or a verb form as in `essere`."""
        verb = italian_verb(form, self.agreement)
        if verb:
            return verb
        preposition, _, determiner = form.rpartition(" ")
        if determiner in _PREPOSITIONS:
            preposition, determiner = determiner, ""
        determiner = determiner or self.determiner
        orders = [self._say(preposition, determiner, before) for before in self._adjective_places()]
        return orders[0] if len(orders) == 1 else f"[{'|'.join(orders)}]"

    def _adjective_places(self) -> list[bool]:
        if self.adjective is None:
            return [False]
        if self.adjective.stands_before:
            return [True, False]
        return [False, True] if self.adjective.may_stand_before else [False]

    def _say(self, preposition: str, determiner: str, adjective_before: bool) -> str:
        noun = self.noun.italian_plural if self.plural else self.noun.italian
        gender = self.gender
        words = noun
        if self.adjective and adjective_before:
            words = f"{italian.before_noun(self.adjective.italian, gender, self.plural, noun)} {noun}"
        elif self.adjective:
            words = f"{noun} {italian.agree(self.adjective.italian, gender, self.plural)}"
        return determined(
            preposition, determiner, words, Determined(self.noun, self.plural, self.adjective is not None, self.numeral)
        )


def _choose_noun(chooser: Chooser, name: str, lexicon: Lexicon, category: str, flags: list[str]) -> Noun:
    nouns = lexicon.nouns[category]
    if "sg" in flags:
        nouns = tuple(noun for noun in nouns if "pairs" not in noun.categories)
    if "pl" in flags:
        nouns = tuple(noun for noun in nouns if not noun.is_mass)
    return chooser.pick(f"{name}.noun", Kind.NOUN, nouns, lexicon.nouns["also"])


def _suited_adjectives(lexicon: Lexicon, noun: Noun) -> tuple[Adjective, ...]:
    suited = [adjective for category in sorted(noun.categories) for adjective in lexicon.adjectives.get(category, ())]
    return tuple(dict.fromkeys(suited)) or lexicon.adjectives["thing"]


DATIVES = ("mi", "ti", "gli", "ci", "vi", "gli")
_PRONOUNS = (
    ("I", 0, "mf", "[|io]"),
    ("you", 1, "mf", "[|tu]"),
    ("he", 2, "m", "[lui|]"),
    ("she", 2, "f", "[lei|]"),
    ("we", 3, "mf", "[|noi]"),
    ("they", 5, "mf", "[|loro]"),
)
_YOU_ALL = ("you", 4, "mf", "[|voi]")


class Pronoun:
    """A pronoun as the subject."""

    def __init__(self, chooser: Chooser, name: str, _lexicon: Lexicon, options: str) -> None:
        """Choose the person; `options` may name the persons allowed, as `I you`."""
        allowed = options.split()
        persons = [entry for entry in _PRONOUNS if not allowed or entry[0] in allowed]
        others = [_YOU_ALL] if not allowed or "you" in allowed else []
        self.word, person, gender, self.said = chooser.pick(f"{name}.person", Kind.PERSON, persons, others)
        self.agreement = Agreement(person, gender, person > 2)

    def english(self, form: str) -> str:
        """The pronoun, or `is`, `was`, `has`, `does` for it, or it with a short `'s`."""
        if form == "isshort":
            return f"[{self.word}{self.agreement.short_be}|{self.word} {self.agreement.be}]"
        return english_verb(form, self.agreement) if form else self.word

    def italian(self, form: str) -> str:
        """The pronoun, or a verb form for it; `drop` leaves it out where that is usual."""
        if form == "drop":
            return "[|" + self.said.strip("[]|") + "]"
        if form == "dative":
            return "le" if self.agreement.gender == "f" else DATIVES[self.agreement.person]
        return italian_verb(form, self.agreement) or self.said


def english_verb(form: str, agreement: Agreement) -> str:
    """`is`, `was`, `has`, `does` or any verb after a pronoun or noun."""
    if form == "is":
        return agreement.be
    if form == "was":
        return agreement.was
    return (
        english.third_person({"has": "have", "does": "do"}.get(form, form))
        if agreement.is_third_singular
        else {
            "has": "have",
            "does": "do",
        }.get(form, form)
    )


_ITALIAN_FORMS = {"essere": ESSERE, "avere": AVERE, "stare": STARE, "era": ERA}


def italian_verb(form: str, agreement: Agreement) -> str:
    """A verb form by infinitive (`essere`), or written out with commas for the six persons; "" if it is neither."""
    if form in _ITALIAN_FORMS:
        return _ITALIAN_FORMS[form][agreement.person]
    if "," in form:
        return form.split(",")[agreement.person].strip()
    return ""


class Described:
    """An adjective that is said of another slot."""

    def __init__(self, chooser: Chooser, name: str, lexicon: Lexicon, options: str) -> None:
        """Choose an adjective of the category that `options` names."""
        options_there = lexicon.adjectives[options]
        self._adjective: Adjective = chooser.pick(
            f"{name}.adjective", Kind.ADJECTIVE, options_there, lexicon.adjectives["also"]
        )
        self.slots: dict[str, Slot] = {}

    def english(self, form: str) -> str:
        """The adjective; `er` and `est` compare it."""
        if form == "er":
            return english.comparative_of(self._adjective.english)
        if form == "est":
            return english.superlative_of(self._adjective.english)
        return self._adjective.english

    def italian(self, form: str) -> str:
        """The adjective in agreement with the slot that the form names."""
        target = self.slots.get(form)
        if isinstance(target, NounPhrase | Pronoun):
            return target.agreement.adjective(self._adjective.italian)
        return self._adjective.italian


class Fixed:
    """A word or phrase of the word list."""

    def __init__(self, chooser: Chooser, name: str, lexicon: Lexicon, options: str) -> None:
        """Choose a word of the category that `options` names."""
        self._word: Word = chooser.pick(f"{name}.word", Kind.WORD, lexicon.words[options])

    def english(self, _form: str) -> str:
        """The English word."""
        return self._word.english

    def italian(self, form: str) -> str:
        """The Italian word; a form such as `a` puts a preposition before its article."""
        word = self._word.italian
        if not form:
            return word
        for article in ("l~", "lo", "la", "il", "gli", "le", "i"):
            if word.startswith((article + " ", "l~") if article == "l~" else article + " "):
                return f"{italian.contracted(form, article)} {word.removeprefix(article).strip()}"
        return f"{form} {word}"
