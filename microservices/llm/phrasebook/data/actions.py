"""Verb phrases without a subject: commands and infinitives."""

from microservices.llm.phrasebook.data import italian
from microservices.llm.phrasebook.data.choices import Chooser, Kind
from microservices.llm.phrasebook.data.clauses import choose_complement, object_pronouns
from microservices.llm.phrasebook.data.lexicon import Frame, Lexicon, Verb
from microservices.llm.phrasebook.data.verb_phrase import REFLEXIVES, ObjectPronoun

_SECOND_PERSON, _WE = 1, 3


class Action:
    """A verb with what follows it, to be commanded or to stand after another verb."""

    def __init__(self, chooser: Chooser, name: str, lexicon: Lexicon, options: str) -> None:
        """Choose the verb and its object; `short` leaves the object's adjective out, `active` is no state."""
        flags = options.split()
        verbs = tuple(verb for verb in lexicon.verbs.values() if not verb.is_state)
        self.verb: Verb = chooser.pick(f"{name}.verb", Kind.VERB, verbs)
        self.frame: Frame = chooser.pick(f"{name}.frame", Kind.SHAPE, self.verb.frames)
        self.pronoun: ObjectPronoun | None = None
        allowed = () if self.frame.italian else tuple(object_pronouns(self.frame, _SECOND_PERSON))
        if allowed:
            is_pronoun: bool = chooser.pick(f"{name}.objectpronoun", Kind.SHAPE, [False] * 7 + [True])
            self.pronoun = chooser.pick(f"{name}.o.pronoun", Kind.PRONOUN, allowed) if is_pronoun else None
        self.complement = None
        if self.pronoun is None:
            self.complement = choose_complement(chooser, name, lexicon, self.verb, self.frame, flags)

    def english(self, form: str) -> str:
        """The bare verb phrase, or with `ing` its -ing form."""
        verb = self.verb.ing if form == "ing" else self.verb.english
        if self.pronoun:
            return f"{verb} {self.pronoun.english}"
        return f"{verb} {self.frame.english} {self.complement.english('')}" if self.complement else verb

    def italian(self, form: str) -> str:
        """A form with what follows: `do` commands, `dont` forbids, `we` is let's, a number is the infinitive.

        The number is the person whom the infinitive is said of, for its reflexive pronoun.
        """
        verb = self._verb(form)
        rest = self.complement.italian(self.frame.italian) if self.complement else ""
        return f"{verb} {self.verb.tail} {rest}"

    def _clitics(self, person: int) -> tuple[str, ...]:
        if self.verb.is_reflexive:
            return (REFLEXIVES[person],)
        return self.pronoun.clitics if self.pronoun else ()

    def _verb(self, form: str) -> str:
        if form == "do":
            return self._command(self.verb.imperative, _SECOND_PERSON)
        if form == "we":
            return self._command(self.verb.present[_WE], _WE)
        if form == "dont":
            clitics = self._clitics(_SECOND_PERSON)
            forms = [f"[{italian.attached(self.verb.infinitive, c)}|{c} {self.verb.infinitive}]" for c in clitics]
            return "non " + _any_of(forms or [self.verb.infinitive])
        clitics = self._clitics(int(form or 2))
        return _any_of([italian.attached(self.verb.infinitive, c) for c in clitics] or [self.verb.infinitive])

    def _command(self, command: str, person: int) -> str:
        clitics = self._clitics(person)
        if command.endswith("'"):
            attached = [command[:-1] + (c if c.startswith("gl") else c[0] + c) for c in clitics]
        else:
            attached = [command + c for c in clitics]
        return _any_of(attached or [command])


def _any_of(options: list[str]) -> str:
    return options[0] if len(options) == 1 else f"[{'|'.join(options)}]"
