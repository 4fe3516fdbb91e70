"""Clauses: a subject, a verb in one of its tenses or after a modal verb, what follows it, and when."""

from microservices.llm.phrasebook.data import verb_phrase
from microservices.llm.phrasebook.data.agreement import Agreement
from microservices.llm.phrasebook.data.choices import Chooser, Kind
from microservices.llm.phrasebook.data.lexicon import Frame, Lexicon, Verb, Word
from microservices.llm.phrasebook.data.phrases import NounPhrase, Pronoun
from microservices.llm.phrasebook.data.verb_phrase import HER, HIM, IT, ME, THEM, US, YOU, ObjectPronoun

_TENSES = [
    "present", "present", "present", "past", "past", "past", "future", "future", "progressive", "progressive",
    "can", "must", "want", "would like", "should", "have to",
]  # fmt: skip
_STATE_TENSES = ["present", "present", "present", "past", "future", "must", "can"]
_TIMES_OF_TENSE = {
    "present": "time_present",
    "past": "time_past",
    "future": "time_future",
    "progressive": "time_now",
}
_LIVING = frozenset({"person", "family", "animal"})
_NO_OBJECT = Frame("", "", "none")


class Who:
    """The question word as the subject."""

    agreement = Agreement(2, "m", plural=False)

    def english(self, _form: str) -> str:
        """`Who`."""
        return "Who"

    def italian(self, _form: str) -> str:
        """`Chi`."""
        return "Chi"


def choose_complement(
    chooser: Chooser, name: str, lexicon: Lexicon, verb: Verb, frame: Frame, flags: list[str]
) -> NounPhrase | None:
    """What stands after the verb, if its frame has something there."""
    if frame.category == "none":
        return None
    plain = " plain" if "short" in flags else ""
    generic = " generic" if verb.takes_bare_objects and not frame.italian else ""
    return NounPhrase(chooser, f"{name}.o", lexicon, frame.category + plain + generic)


def object_pronouns(frame: Frame, subject_person: int) -> list[ObjectPronoun]:
    """The pronouns that may stand in place of a noun, without those that would mean the subject itself."""
    if frame.category == "none" or (frame.italian and frame.italian != "con"):
        return []
    if frame.category not in _LIVING:
        return [IT, IT, THEM] if not frame.italian else []
    first, second = subject_person in (0, 3), subject_person in (1, 4)
    return [*([] if first else [ME, US]), *([] if second else [YOU]), HIM, HER, THEM]


def _verbs(lexicon: Lexicon, flags: list[str]) -> tuple[Verb, ...]:
    verbs = tuple(lexicon.verbs.values())
    if "transitive" in flags:
        return tuple(verb for verb in verbs if any(_is_object(frame) for frame in verb.frames))
    if "personal" in flags:
        return tuple(verb for verb in verbs if any(frame == Frame("", "", "person") for frame in verb.frames))
    return verbs


def _is_object(frame: Frame) -> bool:
    return frame.category != "none" and not frame.italian


def _tenses(verb: Verb, flags: list[str]) -> list[str]:
    for tense in ("past", "future"):
        if tense in flags:
            return [tense]
    tenses = _STATE_TENSES if verb.is_state else _TENSES
    # "I put" may be either tense, so only a text that says which one has it in the past.
    return [tense for tense in tenses if tense != "past"] if verb.past == verb.english else tenses


class Clause:
    """A statement that can also be said as a question."""

    def __init__(self, chooser: Chooser, name: str, lexicon: Lexicon, options: str) -> None:
        """Choose subject, verb, tense, negation, object and time.

        Args:
            chooser: Takes the decisions.
            name: The name of the slot.
            lexicon: Where the words are.
            options: `pronoun` or `who` fixes the subject, `short` leaves out the time and the object's
                adjective, `noobject` the object, `positive` the negation; `transitive` and `personal`
                ask for a verb with an object, or with a person as the object; `past` and `future` fix the tense.
        """
        flags = options.split()
        self.subject = self._choose_subject(chooser, name, lexicon, flags)
        self.verb: Verb = chooser.pick(f"{name}.verb", Kind.VERB, _verbs(lexicon, flags))
        self.tense: str = chooser.pick(f"{name}.tense", Kind.TENSE, _tenses(self.verb, flags))
        self.negative = "positive" not in flags and chooser.pick(
            f"{name}.negative", Kind.NEGATION, [False, False, False, True]
        )
        self.frame = _NO_OBJECT if "noobject" in flags else self._choose_frame(chooser, name)
        self.pronoun = self._choose_pronoun(chooser, name)
        self.complement = None
        if self.pronoun is None:
            self.complement = choose_complement(chooser, name, lexicon, self.verb, self.frame, flags)
        self.time: Word | None = None
        if "short" not in flags and chooser.pick(f"{name}.timed", Kind.SHAPE, [False, False, False, True, True]):
            times = lexicon.words[_TIMES_OF_TENSE.get(self.tense, "time_future")]
            self.time = chooser.pick(f"{name}.time", Kind.WORD, times)

    @staticmethod
    def _choose_subject(
        chooser: Chooser, name: str, lexicon: Lexicon, flags: list[str]
    ) -> "Pronoun | NounPhrase | Who":
        if "who" in flags:
            return Who()
        if "pronoun" in flags or chooser.pick(f"{name}.pronoun", Kind.SHAPE, [True, True, True, False]):
            return Pronoun(chooser, f"{name}.s", lexicon, "")
        category = chooser.pick(f"{name}.category", Kind.SHAPE, ["person", "person", "animal"])
        return NounPhrase(chooser, f"{name}.s", lexicon, f"{category} plain")

    def _choose_frame(self, chooser: Chooser, name: str) -> Frame:
        return chooser.pick(f"{name}.frame", Kind.SHAPE, self.verb.frames)

    def _choose_pronoun(self, chooser: Chooser, name: str) -> ObjectPronoun | None:
        allowed = object_pronouns(self.frame, self._agreement.person)
        if not allowed or not chooser.pick(f"{name}.objectpronoun", Kind.SHAPE, [False] * 5 + [True]):
            return None
        return chooser.pick(f"{name}.o.pronoun", Kind.PRONOUN, allowed)

    @property
    def _agreement(self) -> Agreement:
        return self.subject.agreement

    def english(self, form: str) -> str:
        """The statement, or with `q` the question without its mark."""
        rest = f"{self._english_complement()} {self.time.english if self.time else ''}"
        subject = self.subject.english("")
        auxiliary, verb = self._english_verb()
        if form == "q":
            return self._english_question(subject, auxiliary, verb) + f" {rest}"
        if not auxiliary and not self.negative:
            return f"{subject} {self._finite()} {rest}"
        return f"{self._helped(subject, auxiliary)} {verb} {rest}"

    def _english_complement(self) -> str:
        if self.pronoun:
            return f"{self.frame.english} {self.pronoun.english}"
        return f"{self.frame.english} {self.complement.english('')}" if self.complement else ""

    def _english_verb(self) -> tuple[str, str]:
        """The auxiliary, empty where a statement needs none, and the verb after it."""
        verb = self.verb.english
        helped = {
            "progressive": (self._agreement.be, self.verb.ing),
            "future": ("will", verb),
            "want": ("", f"want to {verb}"),
            "have to": ("", f"[have to|need to] {verb}"),
            "would like": ("would", f"like to {verb}"),
            "can": ("can", verb),
            "must": ("must", verb),
            "should": ("should", verb),
        }
        return helped.get(self.tense, ("", verb))

    def _finite(self) -> str:
        third = self._agreement.is_third_singular
        if self.tense == "past":
            has = "has" if third else "have"
            return f"[{self.verb.past}|{has} {self.verb.past_participle}]" if not self.time else self.verb.past
        if self.tense == "want":
            return f"{'wants' if third else 'want'} to {self.verb.english}"
        if self.tense == "have to":
            return f"[{'has to|needs to' if third else 'have to|need to'}] {self.verb.english}"
        return self.verb.third_person if third else self.verb.english

    def _do(self) -> str:
        if self.tense == "past":
            return "did"
        return "does" if self._agreement.is_third_singular else "do"

    def _helped(self, subject: str, auxiliary: str) -> str:
        """Subject and auxiliary of a statement, with the negation."""
        word = auxiliary or self._do()
        if self.negative:
            return f"{subject} [{_negated(word)}|{word} not]"
        short = {"will": "'ll", "would": "'d", "am": "'m", "are": "'re", "is": "'s"}.get(word)
        going = f"|{subject} {self._agreement.be} going to" if word == "will" else ""
        if short and isinstance(self.subject, Pronoun):
            return f"[{subject} {word}|{subject}{short}{going}]"
        return f"[{subject} {word}{going}]"

    def _english_question(self, subject: str, auxiliary: str, verb: str) -> str:
        word = auxiliary or self._do()
        if self.negative and word not in ("am", "must"):
            return f"{_negated(word)} {subject} {verb}"
        no = "not" if self.negative else ""
        if word == "will":
            return f"[will {subject}|{self._agreement.be} {subject} going to] {no} {verb}"
        return f"{word} {subject} {no} {verb}"

    def italian(self, form: str) -> str:
        """The statement; `q` is the same words.

        `wh` is what follows a question word: the pronoun is left out, and a noun follows a verb that stands alone.
        """
        subject = self.subject.italian("drop" if form == "wh" and isinstance(self.subject, Pronoun) else "")
        no = "non" if self.negative else ""
        clitic = self.pronoun if not self.frame.italian else None
        verb = verb_phrase.said(self.verb, self._agreement, _italian_tense(self.tense), clitic)
        if form == "wh" and isinstance(self.subject, NounPhrase) and not self.complement and not self.pronoun:
            statement = f"[{no} {verb} {subject}|{subject} {no} {verb}]"
        else:
            statement = f"{subject} {no} {verb} {self._italian_complement()}"
        return f"{statement} {self.time.italian}" if self.time else statement

    def _italian_complement(self) -> str:
        if self.pronoun:
            return f"con {self.pronoun.stressed}" if self.frame.italian else ""
        return self.complement.italian(self.frame.italian) if self.complement else ""


def _italian_tense(tense: str) -> str:
    return "must" if tense == "have to" else tense


def _negated(auxiliary: str) -> str:
    special = {"can": "can't", "will": "won't", "am": "am not", "must": "must not"}
    return special.get(auxiliary, auxiliary + "n't")
