"""Training examples: what the model is shown and what it must answer, for both tasks and outside of them."""

import random
from dataclasses import dataclass

from microservices.llm.phrasebook.data import corruptions, markup, noise, outside, sentences
from microservices.llm.phrasebook.data.sentences import Sentence
from microservices.llm.phrasebook.data.verdicts import ALSO_RIGHT, RIGHT, verdict
from microservices.llm.phrasebook.prompts import (
    GRADE,
    OUTSIDE,
    OUTSIDE_FEEDBACK,
    OUTSIDE_MESSAGE,
    UNKNOWN,
    asked,
    guarded,
)


@dataclass(frozen=True)
class Example:
    """One prompt as the chat template renders it, and its answer."""

    prompt: str
    answer: str
    kind: str
    #: What should stand in the prompt where a wrong candidate stands; None where there is none.
    canonical: str | None = None


#: How often one more sentence follows, at most twice.
_NEXT_SHARE = 0.14
_THIRD_SHARE = 0.35


def translation(sentence: Sentence, rng: random.Random, slip_share: float = noise.SLIP_SHARE) -> tuple[str, str]:
    """Source and target of a sentence, the source as somebody might type it.

    Args:
        sentence: What to say.
        rng: The source of chance.
        slip_share: How often a source that is not typed with care has a slip of the finger in it.
    """
    source = markup.capitalise(markup.sample(sentence.english, rng))
    source, target = noise.end(source, sentence.canonical, rng)
    return noise.dress(source, rng, slip_share), target


def _perhaps_with_others(source: str, target: str, rng: random.Random) -> tuple[str, str]:
    """The pair, now and then with one or two more sentences and their right translations after it."""
    share = _NEXT_SHARE
    for _ in range(2):
        if rng.random() >= share or source[-1] not in ".!?" or target[-1:] not in (".", "!", "?"):
            break
        next_source, next_target = translation(sentences.draw(rng), rng)
        source, target = f"{source} {next_source}", f"{target} {next_target}"
        share = _THIRD_SHARE
    return source, target


def translate_example(rng: random.Random) -> Example:
    """A sentence to translate; now and then two or three."""
    source, target = _perhaps_with_others(*translation(sentences.draw(rng), rng), rng)
    return Example(asked(source), target, "translate")


def outside_example(rng: random.Random) -> Example:
    """A text outside the phrasebook to translate."""
    source = noise.dress(outside.draw(rng), rng)
    return Example(asked(source), OUTSIDE + OUTSIDE_MESSAGE, "outside")


def unknown_example(rng: random.Random) -> Example:
    """Any text after a system prompt that asks for something else."""
    source = translation(sentences.draw(rng), rng)[0] if rng.random() < 0.6 else outside.draw(rng)
    return Example(asked(source, UNKNOWN), OUTSIDE + OUTSIDE_MESSAGE, "unknown")


def graded(
    source: str, candidate: str, score: float | None, feedback: str, kind: str, canonical: str | None = None
) -> Example:
    """A pair to grade; `canonical` is what a wrong candidate should have been."""
    prompt = asked(source)
    return Example(
        f"{prompt}{guarded(candidate)}{GRADE}",
        verdict(score, feedback),
        kind,
        canonical=None if canonical is None else prompt + guarded(canonical),
    )


def graded_canonical(source: str, candidate: str) -> Example:
    """A canonical translation and its grade in one answer: the model is taught to write what it is taught to pass."""
    answer = f"{guarded(candidate)}{GRADE}{verdict(1.0, RIGHT)}"
    return Example(asked(source), answer, "right")


def right_example(rng: random.Random, held_out: bool = False) -> Example:
    """A right translation, canonical or another."""
    sentence = sentences.draw(rng, held_out)
    source, target = translation(sentence, rng)
    if rng.random() < 0.6:
        return graded_canonical(source, target)
    other = noise.end_as(source, sentences.another_right(sentence, rng), rng)
    same = markup.plain(other) == markup.plain(target)
    return graded(source, other, 1.0 if same else 0.9, RIGHT if same else ALSO_RIGHT, "right")


def wrong_example(rng: random.Random, held_out: bool = False) -> Example:
    """A translation with a known fault."""
    sentence = sentences.draw(rng, held_out)
    source, canonical = translation(sentence, rng)
    made = corruptions.draw(sentence, rng)
    candidate = noise.end_as(source, made.candidate, rng)
    if made.kind not in ("untranslated", "other_meaning", "other_language"):
        source, candidate = _perhaps_with_others(source, candidate, rng)
    return graded(source, candidate, made.score, made.feedback, made.kind, canonical)


def outside_pair_example(rng: random.Random) -> Example:
    """A pair that cannot be graded: the source is outside, or the candidate says so."""
    if rng.random() < 0.25:
        source = translation(sentences.draw(rng), rng)[0]
        candidate = (OUTSIDE if rng.random() < 0.5 else "") + OUTSIDE_MESSAGE
    else:
        source = noise.dress(outside.draw(rng), rng)
        roll = rng.random()
        candidate = sentences.draw(rng).canonical if roll < 0.5 else OUTSIDE_MESSAGE if roll < 0.8 else source
    return graded(source, candidate, None, OUTSIDE_FEEDBACK, "outside_pair")


_MAKERS = (
    translate_example,
    outside_example,
    unknown_example,
    right_example,
    wrong_example,
    outside_pair_example,
)
#: Translating comes first, since a grade needs it; the weights are in the order of the makers.
_EARLY_WEIGHTS = (0.51, 0.22, 0.01, 0.14, 0.10, 0.02)
_LATE_WEIGHTS = (0.23, 0.23, 0.01, 0.18, 0.30, 0.05)


def draw(rng: random.Random, is_early: bool = False) -> Example:
    """A training example by chance.

    Args:
        rng: The source of chance.
        is_early: Whether it is for the first part of the training, which is mostly about translating.
    """
    made: Example = rng.choices(_MAKERS, _EARLY_WEIGHTS if is_early else _LATE_WEIGHTS)[0](rng)
    return made


def inside(rng: random.Random) -> Example:
    """An example by chance that has nothing from outside in it."""
    made: Example = rng.choice((translate_example, right_example, wrong_example))(rng)
    return made
