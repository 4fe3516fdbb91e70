"""Measure the model: `python -m microservices.llm.phrasebook.evaluate`.

Everything is asked over llama.cpp's HTTP server at temperature 0. Intervals are Wilson's, 95 %.
"""

import argparse
import asyncio
import hashlib
import statistics
from collections import Counter
from pathlib import Path

from microservices.llm.phrasebook.data import markup
from microservices.llm.phrasebook.evaluation import cases
from microservices.llm.phrasebook.evaluation.asking import Model, says_outside
from microservices.llm.phrasebook.evaluation.cases import Grading, Translation
from microservices.llm.phrasebook.evaluation.figures import Figure, balanced

MODEL_PATH = Path(__file__).parent / "phrasebook.gguf"
#: A score from here on means right.
PASSING_SCORE = 0.7
_SPEED_SAMPLES = 50


class Report:
    """Prints the figures and, if asked, what went wrong."""

    def __init__(self, shown_misses: int) -> None:
        self._shown_misses = shown_misses

    def figure(self, figure: Figure, misses: list[str]) -> None:
        """Print one figure and the first of its misses; those of an unseen half stay unseen."""
        print(figure, flush=True)
        if "unseen" not in figure.name:
            for miss in misses[: self._shown_misses]:
                print(f"    {miss}")


async def _translations(model: Model, count: int, seed: int, report: Report, with_slips: bool = False) -> None:
    asked = cases.held_out_translations(count, seed, with_slips)
    answers = await model.translate_all([case.source for case in asked])
    exact = [markup.plain(answer) == markup.plain(case.canonical) for case, answer in zip(asked, answers, strict=True)]
    misses = [_miss(c.source, a, c.canonical) for c, a, hit in zip(asked, answers, exact, strict=True) if not hit]
    name = "held-out translations with one mistyped letter, exact" if with_slips else "held-out translations, exact"
    report.figure(Figure(name, sum(exact), count, None if with_slips else 0.98), misses)


def _miss(source: str, answer: str, expected: str) -> str:
    return f"{source!r}: {answer!r}, expected {expected!r}"


async def _grades(model: Model, count: int, seed: int, report: Report) -> None:
    right, wrong = cases.held_out_right(count, seed + 1), cases.held_out_wrong(count, seed + 2)
    of_right = await model.grade_all([(case.source, case.candidate) for case in right])
    of_wrong = await model.grade_all([(case.source, case.candidate) for case in wrong])
    passed = [score is not None and score >= PASSING_SCORE for score, _ in of_right]
    failed = [score is not None and score < PASSING_SCORE for score, _ in of_wrong]
    right_figure = Figure("held-out grades: right ones pass (>= 0.7)", sum(passed), count)
    wrong_figure = Figure("held-out grades: corrupted ones fail (< 0.7)", sum(failed), count)
    report.figure(right_figure, _grade_misses(right, of_right, passed))
    report.figure(wrong_figure, _grade_misses(wrong, of_wrong, failed))
    print(balanced(right_figure, wrong_figure, "held-out grades: balanced accuracy", 0.95))
    _by_kind(wrong, failed)
    named = [
        (cases.right_word(case.feedback).lower() in feedback.lower(), case, feedback)
        for case, (_, feedback) in zip(wrong, of_wrong, strict=True)
        if cases.right_word(case.feedback)
    ]
    misses = [f"{c.source!r} {c.candidate!r}: {said!r}, expected {c.feedback!r}" for hit, c, said in named if not hit]
    figure = Figure("held-out grades: feedback names the right word", sum(hit for hit, _, _ in named), len(named), 0.85)
    report.figure(figure, misses)


def _grade_misses(asked: list[Grading], verdicts: list[tuple[float | None, str]], hits: list[bool]) -> list[str]:
    return [
        f"{case.kind}: {case.source!r} {case.candidate!r}: {verdict}"
        for case, verdict, hit in zip(asked, verdicts, hits, strict=True)
        if not hit
    ]


def _by_kind(asked: list[Grading], hits: list[bool]) -> None:
    totals = Counter(case.kind for case in asked)
    caught = Counter(case.kind for case, hit in zip(asked, hits, strict=True) if hit)
    print("    caught by kind: " + ", ".join(f"{kind} {caught[kind]}/{totals[kind]}" for kind in sorted(totals)))


async def _outside(model: Model, half: str, report: Report) -> Figure:
    texts = cases.written_outside(half)
    answers = await model.translate_all(texts)
    misses = [f"{text!r}: {answer!r}" for text, answer in zip(texts, answers, strict=True) if not says_outside(answer)]
    figure = Figure(f"outside, written by hand, {half} half", len(texts) - len(misses), len(texts), 0.95)
    report.figure(figure, misses)
    return figure


async def _inside(model: Model, half: str, report: Report) -> Figure:
    asked = cases.written_inside(half)
    answers = await model.translate_all([case.source for case in asked])
    misses = [
        _miss(case.source, answer, case.markup)
        for case, answer in zip(asked, answers, strict=True)
        if not _is_acceptable(case, answer)
    ]
    figure = Figure(f"inside, written by hand, {half} half", len(asked) - len(misses), len(asked), 0.9)
    report.figure(figure, misses)
    return figure


def _is_acceptable(case: Translation, answer: str) -> bool:
    return markup.accepts(case.markup, answer)


async def _outside_grades(model: Model, report: Report) -> None:
    texts = [*cases.written_outside("seen"), *cases.written_outside("unseen")]
    verdicts = await model.grade_all([(text, "Il gatto è nella cucina.") for text in texts])
    misses = [f"{text!r}: {verdict}" for text, verdict in zip(texts, verdicts, strict=True) if verdict[0] is not None]
    report.figure(
        Figure("outside, both halves (one unseen): grade is null", len(texts) - len(misses), len(texts)), misses
    )


async def _speed(model: Model) -> None:
    texts = [case.source for case in cases.held_out_translations(_SPEED_SAMPLES, 0)]
    timings = [await model.timings(text) for text in texts]
    rate = statistics.median(timing.tokens_per_second for timing in timings)
    print(f"speed: {rate:,.0f} tokens/s (median), prompt {statistics.median(t.prompt_ms for t in timings):.1f} ms")


async def evaluate(path: Path, count: int, seed: int, shown_misses: int) -> None:
    """Print every figure of a GGUF file."""
    report = Report(shown_misses)
    async with Model(path) as model:
        await _translations(model, count, seed, report)
        await _translations(model, count, seed + 3, report, with_slips=True)
        await _grades(model, count, seed, report)
        for measure, name, target in ((_outside, "outside", 0.95), (_inside, "inside", 0.9)):
            seen, unseen = await measure(model, "seen", report), await measure(model, "unseen", report)
            print(Figure(f"{name}, written by hand, both", seen.hits + unseen.hits, seen.total + unseen.total, target))
        await _outside_grades(model, report)
        await _speed(model)


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL_PATH)
    parser.add_argument("--count", type=int, default=2000, help="held-out cases for each figure")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--misses", type=int, default=0, help="how many misses to show under each figure")
    chosen = parser.parse_args()
    content = chosen.model.read_bytes()
    print(f"{chosen.model.name}: {len(content):,} bytes, sha256 {hashlib.sha256(content).hexdigest()}")
    asyncio.run(evaluate(chosen.model, chosen.count, chosen.seed, chosen.misses))


if __name__ == "__main__":
    main()
