"""Training examples: what the model is shown and what it must answer, for both tasks and outside of them."""

import json
import random
from dataclasses import dataclass

from microservices.llm.phrasebook.data import corruptions, markup, noise, outside, sentences
from microservices.llm.phrasebook.data.sentences import Sentence
from microservices.llm.phrasebook.prompts import (
    ANSWER,
    CANDIDATE,
    GRADE,
    OUTSIDE,
    OUTSIDE_FEEDBACK,
    OUTSIDE_MESSAGE,
    TRANSLATE,
    UNKNOWN,
    guarded,
)

_RIGHT = "The translation is right."
_ALSO_RIGHT = "This is right, too."


@dataclass(frozen=True)
class Example:
    """One prompt as the chat template renders it, and its answer."""

    prompt: str
    answer: str
    kind: str


def translation(sentence: Sentence, rng: random.Random, clean: bool = False) -> tuple[str, str]:
    """Source and target of a sentence, as typed by somebody (or, `clean`, as in a book)."""
    source = markup.capitalise(markup.sample(sentence.english, rng))
    source, target = noise.end(source, sentence.canonical, rng)
    return (source if clean else noise.dress(source, rng)), target


def translate_example(rng: random.Random) -> Example:
    """A sentence to translate; now and then two."""
    source, target = translation(sentences.draw(rng), rng)
    if rng.random() < 0.1 and source[-1] in ".!?":  # noqa: PLR2004
        second_source, second_target = translation(sentences.draw(rng), rng)
        source, target = f"{source} {second_source}", f"{target} {second_target}"
    return Example(f"{TRANSLATE}{source}{ANSWER}", target, "translate")


def outside_example(rng: random.Random) -> Example:
    """A text outside the phrasebook to translate."""
    source = noise.dress(outside.draw(rng), rng)
    return Example(f"{TRANSLATE}{guarded(source)}{ANSWER}", OUTSIDE + OUTSIDE_MESSAGE, "outside")


def unknown_example(rng: random.Random) -> Example:
    """Any text after a system prompt that asks for something else."""
    source = translation(sentences.draw(rng), rng)[0] if rng.random() < 0.6 else outside.draw(rng)  # noqa: PLR2004
    return Example(f"{UNKNOWN}{guarded(source)}{ANSWER}", OUTSIDE + OUTSIDE_MESSAGE, "unknown")


def verdict(score: float | None, feedback: str) -> str:
    """The grade as the answer is written."""
    return json.dumps({"score": score, "feedback": feedback}, ensure_ascii=False)


def graded(source: str, candidate: str, score: float | None, feedback: str, kind: str) -> Example:
    """A pair to grade."""
    return Example(f"{GRADE}{guarded(source)}{CANDIDATE}{guarded(candidate)}{ANSWER}", verdict(score, feedback), kind)


def right_example(rng: random.Random, held_out: bool = False) -> Example:
    """A right translation, canonical or another."""
    sentence = sentences.draw(rng, held_out)
    source, target = translation(sentence, rng)
    if rng.random() < 0.6:  # noqa: PLR2004
        return graded(source, target, 1.0, _RIGHT, "right")
    other = noise.end_as(source, markup.capitalise(markup.sample(sentence.italian, rng, 0.3)), rng)
    same = markup.plain(other) == markup.plain(target)
    return graded(source, other, 1.0 if same else 0.9, _RIGHT if same else _ALSO_RIGHT, "right")


def wrong_example(rng: random.Random, held_out: bool = False) -> Example:
    """A translation with a known fault."""
    sentence = sentences.draw(rng, held_out)
    source = translation(sentence, rng)[0]
    made = corruptions.draw(sentence, rng)
    candidate = noise.end_as(source, made.candidate, rng)
    return graded(source, candidate, made.score, made.feedback, made.kind)


def outside_pair_example(rng: random.Random) -> Example:
    """A pair that cannot be graded: the source is outside, or the candidate says so."""
    if rng.random() < 0.25:  # noqa: PLR2004
        source = translation(sentences.draw(rng), rng)[0]
        candidate = (OUTSIDE if rng.random() < 0.5 else "") + OUTSIDE_MESSAGE  # noqa: PLR2004
    else:
        source = noise.dress(outside.draw(rng), rng)
        roll = rng.random()
        candidate = sentences.draw(rng).canonical if roll < 0.5 else OUTSIDE_MESSAGE if roll < 0.8 else source  # noqa: PLR2004
    return graded(source, candidate, None, OUTSIDE_FEEDBACK, "outside_pair")


_MAKERS = (
    (translate_example, 0.38),
    (outside_example, 0.11),
    (unknown_example, 0.01),
    (right_example, 0.2),
    (wrong_example, 0.26),
    (outside_pair_example, 0.04),
)


def draw(rng: random.Random) -> Example:
    """A training example by chance."""
    makers, weights = zip(*_MAKERS, strict=True)
    made: Example = rng.choices(makers, weights)[0](rng)
    return made
