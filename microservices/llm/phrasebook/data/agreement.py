"""Who a verb or adjective agrees with, and the verb forms for that."""

from dataclasses import dataclass

from microservices.llm.phrasebook.data import italian
from microservices.llm.phrasebook.data.lexicon import Verb

_BE_PRESENT = ("am", "are", "is", "are", "are", "are")
_BE_PAST = ("was", "were", "was", "were", "were", "were")
_SHORT_BE = ("'m", "'re", "'s", "'re", "'re", "'re")

ESSERE = ("sono", "sei", "è", "siamo", "siete", "sono")
AVERE = ("ho", "hai", "ha", "abbiamo", "avete", "hanno")
STARE = ("sto", "stai", "sta", "stiamo", "state", "stanno")
ERA = ("ero", "eri", "era", "eravamo", "eravate", "erano")
AUXILIARIES = {
    "can": ("posso", "puoi", "può", "possiamo", "potete", "possono"),
    "must": ("devo", "devi", "deve", "dobbiamo", "dovete", "devono"),
    "want": ("voglio", "vuoi", "vuole", "vogliamo", "volete", "vogliono"),
    "would like": ("vorrei", "vorresti", "vorrebbe", "vorremmo", "vorreste", "vorrebbero"),
    "should": ("dovrei", "dovresti", "dovrebbe", "dovremmo", "dovreste", "dovrebbero"),
}


@dataclass(frozen=True)
class Agreement:
    """Person (0 is I, 5 is they), gender (m, f, or mf when the source does not say) and number."""

    person: int
    gender: str
    plural: bool

    @property
    def be(self) -> str:
        """The present of `be`."""
        return _BE_PRESENT[self.person]

    @property
    def was(self) -> str:
        """The past of `be`."""
        return _BE_PAST[self.person]

    @property
    def short_be(self) -> str:
        """The contracted present of `be`."""
        return _SHORT_BE[self.person]

    @property
    def is_third_singular(self) -> bool:
        """Whether an English verb takes its -s."""
        return self.person == 2

    def adjective(self, word: str) -> str:
        """An Italian adjective or participle; both genders when the source does not say which."""
        if self.gender == "mf":
            masculine, feminine = italian.agree(word, "m", self.plural), italian.agree(word, "f", self.plural)
            return masculine if masculine == feminine else f"[{masculine}|{feminine}]"
        return italian.agree(word, self.gender, self.plural)

    def past(self, verb: Verb) -> str:
        """The passato prossimo of a verb."""
        if verb.takes_essere:
            return f"{ESSERE[self.person]} {self.adjective(verb.participle)}"
        return f"{AVERE[self.person]} {verb.participle}"
