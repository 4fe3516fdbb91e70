"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_MAX_P50_MS = 25.0
_MIN_RUNS_PER_SECOND = 40.0
_MAX_DELTA_MS = 5.0


def render(results: Mapping[str, Any]) -> str:
    """Return the report of `assistants.json`."""
    return "\n".join([*_head(results), *_runs(results["cases"]), *_growth(results["cases"])]) + "\n"


def _head(results: Mapping[str, Any]) -> Iterator[str]:
    machine = results["machine"]
    load = ", ".join(f"{value:.2f}" for value in machine["load_average_at_start"])
    yield "# What `make bench-assistants` measured"
    yield ""
    yield f"{results['measured_at']}; {machine['cpu']}, {machine['cores']} cores, load average at the start: {load}."
    if results.get("quick"):
        yield "**A quick run: does everything work? Its numbers say nothing.**"
    yield ""
    yield "The LLM answers at once, five tokens, in the load generator's process; a run is streamed to its end. The"
    yield "service, the load, and PostgreSQL where it takes part, share the cores."
    yield ""


def _runs(cases: list[Mapping[str, Any]]) -> Iterator[str]:
    yield "## Runs"
    yield ""
    columns = (
        "create to completed, p50",
        "p95",
        "first delta after the LLM's, p50",
        "runs/s, 16 at once",
        "peak memory",
    )
    yield f"| database | processes | {' | '.join(columns)} |"
    yield "| --- | --: | --: | --: | --: | --: | --: |"
    for case in cases:
        yield (
            f"| {case['database']} | {case['workers']} | {case['p50_ms']:.1f} ms | {case['p95_ms']:.1f} ms "
            f"| {case['delta_p50_ms']:.1f} ms | {case['runs_per_second']:.0f} | {case['peak_rss_mb']:.0f} MB |"
        )
    yield ""
    yield from _targets(cases[0])


def _targets(sqlite: Mapping[str, Any]) -> Iterator[str]:
    rate = sqlite["runs_per_second"]
    yield f"Targets, on SQLite: p50 at most {_MAX_P50_MS:.0f} ms: {_met(sqlite['p50_ms'] <= _MAX_P50_MS)}; at least"
    yield f"{_MIN_RUNS_PER_SECOND:.0f} runs/s: {_met(rate >= _MIN_RUNS_PER_SECOND)}; first delta at most"
    yield f"{_MAX_DELTA_MS:.0f} ms after the LLM's: {_met(sqlite['delta_p50_ms'] <= _MAX_DELTA_MS)}."
    yield ""


def _growth(cases: list[Mapping[str, Any]]) -> Iterator[str]:
    yield "## Many messages"
    yield ""
    yield "| database | threads | messages | list 20, p50 | append one, p50 |"
    yield "| --- | --: | --: | --: | --: |"
    for case in cases:
        for size in case.get("growth", ()):
            yield (
                f"| {case['database']} | {size['threads']:,} | {size['messages']:,} "
                f"| {size['list_p50_ms']:.1f} ms | {size['append_p50_ms']:.1f} ms |"
            )


def _met(is_met: bool) -> str:
    return "met" if is_met else "**missed**"
