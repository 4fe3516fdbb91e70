"""What the model is asked: held-out combinations from the grammar, and the sets written by hand."""

import random
from dataclasses import dataclass
from pathlib import Path

from microservices.llm.phrasebook.data import corruptions, examples, noise, sentences

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Translation:
    """A text to translate, and the Italian that is right as markup."""

    source: str
    markup: str
    canonical: str


@dataclass(frozen=True)
class Grading:
    """A pair to grade; a right one has no feedback."""

    source: str
    candidate: str
    feedback: str
    kind: str


def held_out_translations(count: int, seed: int, with_slips: bool = False) -> list[Translation]:
    """Sentences whose combination of template and words was never trained on, with and without capitals and marks.

    With slips, each has one mistyped letter in one of its longer words, if it has any.
    """
    rng = random.Random(seed)
    cases = []
    for _ in range(count):
        sentence = sentences.draw(rng, held_out=True)
        source, target = examples.translation(sentence, rng, slip_share=0)
        if with_slips:
            source = noise.mistype(source, rng)
        cases.append(Translation(source, sentence.italian, target))
    return cases


def held_out_right(count: int, seed: int) -> list[Grading]:
    """Right translations of held-out sentences, canonical and others."""
    rng = random.Random(seed)
    return [_right(rng) for _ in range(count)]


def _right(rng: random.Random) -> Grading:
    sentence = sentences.draw(rng, held_out=True)
    source, target = examples.translation(sentence, rng, slip_share=0)
    other = sentences.another_right(sentence, rng)
    return Grading(source, target if rng.random() < 0.6 else other, "", "right")


def held_out_wrong(count: int, seed: int) -> list[Grading]:
    """Wrong translations of held-out sentences, of every kind."""
    rng = random.Random(seed)
    return [_wrong(rng) for _ in range(count)]


def _wrong(rng: random.Random) -> Grading:
    sentence = sentences.draw(rng, held_out=True)
    source, _ = examples.translation(sentence, rng, slip_share=0)
    made = corruptions.draw(sentence, rng)
    return Grading(source, made.candidate, made.feedback, made.kind)


def _lines(name: str) -> list[str]:
    lines = (_FOLDER / name).read_text("utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("# ")]


def written_outside(half: str) -> list[str]:
    """Texts outside the phrasebook, written by hand; the half is `seen` or `unseen`."""
    return _lines(f"outside_{half}.txt")


def written_inside(half: str) -> list[Translation]:
    """Sentences within the phrasebook's matter, written by hand; the half is `seen` or `unseen`."""
    pairs = (line.partition(" => ") for line in _lines(f"inside_{half}.txt"))
    return [Translation(source, target, "") for source, _, target in pairs]


def right_word(feedback: str) -> str:
    """What a feedback says that would be right, or that should not be there; "" if it names no word."""
    for before, after in ((" should be ", "."), (": ", " is missing."), (": ", " should not be there.")):
        if before in feedback and feedback.endswith(after):
            return feedback.partition(before)[2].removesuffix(after)
    return ""
