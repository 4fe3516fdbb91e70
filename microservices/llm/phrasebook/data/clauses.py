"""Clauses: a subject, a verb in one of its tenses or after a modal verb, what follows it, and when."""

from microservices.llm.phrasebook.data.agreement import AUXILIARIES, STARE, Agreement
from microservices.llm.phrasebook.data.choices import Chooser, Kind
from microservices.llm.phrasebook.data.lexicon import Frame, Lexicon, Verb, Word
from microservices.llm.phrasebook.data.phrases import NounPhrase, Pronoun

_TENSES = ["present", "present", "past", "past", "future", "progressive", "can", "must", "want", "would like", "should"]
_STATE_TENSES = ["present", "present", "past", "future", "must", "can"]
_TIMES_OF_TENSE = {
    "present": "time_present",
    "past": "time_past",
    "future": "time_future",
    "progressive": "time_now",
}


class Clause:
    """A statement that can also be said as a question."""

    def __init__(self, chooser: Chooser, name: str, lexicon: Lexicon, options: str) -> None:
        """Choose subject, verb, tense, negation, object and time.

        `options` may hold `pronoun` (the subject is one) and `short` (no time, no object's adjective).
        """
        flags = options.split()
        self.subject: Pronoun | NounPhrase
        if "pronoun" in flags or chooser.pick(f"{name}.pronoun", Kind.SHAPE, [True, True, True, False]):
            self.subject = Pronoun(chooser, f"{name}.s", lexicon, "")
        else:
            self.subject = NounPhrase(chooser, f"{name}.s", lexicon, "person plain")
        self.verb: Verb = chooser.pick(f"{name}.verb", Kind.VERB, _all_verbs(lexicon))
        tenses = _STATE_TENSES if self.verb.is_state else _TENSES
        self.tense: str = chooser.pick(f"{name}.tense", Kind.TENSE, tenses)
        self.negative: bool = chooser.pick(f"{name}.negative", Kind.NEGATION, [False, False, False, True])
        self.frame: Frame = chooser.pick(f"{name}.frame", Kind.SHAPE, self.verb.frames)
        self.complement: NounPhrase | None = None
        if self.frame.category != "none":
            plain = " plain" if "short" in flags else ""
            self.complement = NounPhrase(chooser, f"{name}.o", lexicon, self.frame.category + plain)
        self.time: Word | None = None
        if "short" not in flags and chooser.pick(f"{name}.timed", Kind.SHAPE, [False, False, True]):
            times = lexicon.words[_TIMES_OF_TENSE.get(self.tense, "time_future")]
            self.time = chooser.pick(f"{name}.time", Kind.WORD, times)

    @property
    def _agreement(self) -> Agreement:
        return self.subject.agreement

    def english(self, form: str) -> str:
        """The statement, or with `q` the question without its mark."""
        question = form == "q"
        rest = f"{self._english_complement()} {self.time.english if self.time else ''}"
        subject = self.subject.english("")
        auxiliary, verb = self._english_verb()
        if question:
            return self._english_question(subject, auxiliary, verb) + f" {rest}"
        if not auxiliary and not self.negative:
            return f"{subject} {self._finite()} {rest}"
        return f"{self._helped(subject, auxiliary)} {verb} {rest}"

    def _english_complement(self) -> str:
        return f"{self.frame.english} {self.complement.english('')}" if self.complement else ""

    def _english_verb(self) -> tuple[str, str]:
        """The auxiliary, empty where a statement needs none, and the verb after it."""
        verb = self.verb.english
        if self.tense == "progressive":
            return self._agreement.be, self.verb.ing
        if self.tense in ("can", "must", "should"):
            return self.tense, verb
        if self.tense == "future":
            return "will", verb
        if self.tense == "want":
            return "", f"want to {verb}"
        if self.tense == "would like":
            return "would", f"like to {verb}"
        return "", verb

    def _finite(self) -> str:
        third = self._agreement.is_third_singular
        if self.tense == "past":
            has = "has" if third else "have"
            return f"[{self.verb.past}|{has} {self.verb.past_participle}]" if not self.time else self.verb.past
        if self.tense == "want":
            return f"{'wants' if third else 'want'} to {self.verb.english}"
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
        if short and isinstance(self.subject, Pronoun):
            return f"[{subject} {word}|{subject}{short}]"
        return f"{subject} {word}"

    def _english_question(self, subject: str, auxiliary: str, verb: str) -> str:
        word = auxiliary or self._do()
        if self.negative and word != "am":
            return f"{_negated(word)} {subject} {verb}"
        return f"{word} {subject} {'not' if self.negative else ''} {verb}"

    def italian(self, form: str) -> str:
        """The statement; `q` is the same words, `wh` leaves the pronoun out as after a question word."""
        subject = self.subject.italian("drop" if form == "wh" and isinstance(self.subject, Pronoun) else "")
        no = "non" if self.negative else ""
        complement = self.complement.italian(self.frame.italian) if self.complement else ""
        if self.complement and not self.frame.italian:
            complement = self.complement.italian("")
        said = f"{subject} {no} {self._italian_verb()} {complement}"
        if self.time is None:
            return said
        return f"{said} {self.time.italian}"

    def _italian_verb(self) -> str:
        person = self._agreement.person
        verb = self.verb
        if self.tense in AUXILIARIES:
            return f"{AUXILIARIES[self.tense][person]} {verb.infinitive}"
        if self.tense == "past":
            return self._agreement.past(verb)
        if self.tense == "future":
            return verb.future[person]
        if self.tense == "progressive":
            return f"[{STARE[person]} {verb.gerund}|{verb.present[person]}]"
        return verb.present[person]


def _negated(auxiliary: str) -> str:
    special = {"can": "can't", "will": "won't", "am": "am not", "must": "must not"}
    return special.get(auxiliary, auxiliary + "n't")


def _all_verbs(lexicon: Lexicon) -> tuple[Verb, ...]:
    return tuple(lexicon.verbs.values())
