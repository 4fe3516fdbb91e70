"""Italian verb phrases: a verb in a tense or after a modal verb, with an unstressed pronoun where there is one."""

from dataclasses import dataclass

from microservices.llm.phrasebook.data import italian
from microservices.llm.phrasebook.data.agreement import AUXILIARIES, AVERE, STARE, Agreement
from microservices.llm.phrasebook.data.lexicon import Verb

REFLEXIVES = ("mi", "ti", "si", "ci", "vi", "si")


@dataclass(frozen=True)
class ObjectPronoun:
    """A pronoun as the object, in both languages."""

    english: str
    #: Before a verb: `lo vedo`; several when the English does not say the gender.
    clitics: tuple[str, ...]
    #: After a preposition: `con lui`.
    stressed: str
    person: int
    #: What a past participle agrees with, for each clitic; None where agreement is left to the speaker.
    participles: tuple[tuple[str, bool], ...]


_M, _F, _MP, _FP = ("m", False), ("f", False), ("m", True), ("f", True)
ME = ObjectPronoun("me", ("mi",), "me", 0, (_M, _F))
YOU = ObjectPronoun("you", ("ti",), "te", 1, (_M, _F))
HIM = ObjectPronoun("him", ("lo",), "lui", 6, (_M,))
HER = ObjectPronoun("her", ("la",), "lei", 6, (_F,))
IT = ObjectPronoun("it", ("lo", "la"), "quello", 6, (_M, _F))
US = ObjectPronoun("us", ("ci",), "noi", 3, (_MP, _M, _FP))
THEM = ObjectPronoun("them", ("li", "le"), "loro", 6, (_MP, _FP))


def said(verb: Verb, agreement: Agreement, tense: str, pronoun: ObjectPronoun | None) -> str:
    """The verb phrase; alternatives where several are right."""
    if pronoun is None:
        clitic = REFLEXIVES[agreement.person] if verb.is_reflexive else ""
        return f"{_with_clitic(verb, agreement, tense, clitic)} {verb.tail}"
    if tense == "past":
        return _past_with_object(verb, agreement, pronoun)
    options = [_with_clitic(verb, agreement, tense, clitic) for clitic in pronoun.clitics]
    return options[0] if len(options) == 1 else f"[{'|'.join(options)}]"


def _with_clitic(verb: Verb, agreement: Agreement, tense: str, clitic: str) -> str:
    person = agreement.person
    if tense in AUXILIARIES:
        return _after_modal(AUXILIARIES[tense][person], verb.infinitive, clitic)
    if tense == "past":
        return f"{clitic} {agreement.past(verb)}"
    if tense == "future":
        return before_verb(clitic, verb.future[person])
    if tense == "progressive":
        standing, present = STARE[person], before_verb(clitic, verb.present[person])
        attached = f"|{standing} {italian.attached(verb.gerund, clitic)}" if clitic else ""
        return f"[{clitic} {standing} {verb.gerund}|{present}{attached}]"
    return before_verb(clitic, verb.present[person])


def _after_modal(modal: str, infinitive: str, clitic: str) -> str:
    if not clitic:
        return f"{modal} {infinitive}"
    return f"[{modal} {italian.attached(infinitive, clitic)}|{clitic} {modal} {infinitive}]"


def before_verb(clitic: str, form: str) -> str:
    """A pronoun and its verb; `lo` and `la` may be elided."""
    if clitic in ("lo", "la") and italian.starts_with_vowel(form):
        return f"[{clitic}|l~] {form}"
    return f"{clitic} {form}"


def _past_with_object(verb: Verb, agreement: Agreement, pronoun: ObjectPronoun) -> str:
    auxiliary = AVERE[agreement.person]
    options = []
    for index, (gender, plural) in enumerate(pronoun.participles):
        clitic = pronoun.clitics[min(index, len(pronoun.clitics) - 1)]
        elided = "l~" if clitic in ("lo", "la") else clitic
        options.append(f"{elided} {auxiliary} {italian.agree(verb.participle, gender, plural)}")
    return options[0] if len(options) == 1 else f"[{'|'.join(options)}]"
